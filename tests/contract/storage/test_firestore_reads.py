"""How single reads travel, and what becomes of them, on a scripted server."""

import asyncio

import grpc
import pytest

from shared.errors import Overloaded, StoreUnavailable
from shared.storage.firestore import FirestoreCatalogue, FirestoreJobs, FirestoreTimers, Limits
from tests.contract.storage.connecting import PATIENT, connected, start
from tests.contract.storage.samples import new_id
from tests.contract.storage.scripted_firestore import ScriptedFirestore


async def test_reads_of_one_moment_take_few_requests(scripted: ScriptedFirestore) -> None:
    async with connected(scripted) as database:
        jobs = FirestoreJobs(database)
        await asyncio.gather(*(jobs.read(new_id()) for _ in range(500)))
    assert [len(request.documents) for request in scripted.requests] == [200, 200, 100]


async def test_readers_of_one_document_share_its_place(scripted: ScriptedFirestore) -> None:
    ids = [new_id() for _ in range(3)]
    async with connected(scripted) as database:
        jobs = FirestoreJobs(database)
        assert await asyncio.gather(*(jobs.read(id) for id in ids * 100)) == [None] * 300
    [request] = scripted.requests
    assert sorted(name.rpartition("/")[2] for name in request.documents) == ids


async def test_nobody_joins_a_read_that_has_left(scripted: ScriptedFirestore) -> None:
    """What it brings may be older than what this caller has already seen."""
    id = new_id()
    async with connected(scripted) as database:
        jobs = FirestoreJobs(database)
        scripted.hold()
        first = start([jobs.read(id)])
        await scripted.arrived(1)
        second = start([jobs.read(id)])
        await scripted.arrived(2)
        scripted.release()
        await asyncio.gather(*first, *second)
    assert len(scripted.requests) == 2


async def test_a_stream_that_breaks_off_is_taken_up_for_the_rest(scripted: ScriptedFirestore) -> None:
    ids = [new_id() for _ in range(100)]
    scripted.lost_reads = {ids[40]}
    async with connected(scripted) as database:
        jobs = FirestoreJobs(database)
        assert await asyncio.gather(*map(jobs.read, ids)) == [None] * 100
    assert [len(request.documents) for request in scripted.requests] == [100, 60]


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.RESOURCE_EXHAUSTED]
)
async def test_a_read_is_tried_again(scripted: ScriptedFirestore, code: grpc.StatusCode) -> None:
    codes = iter([code, code] * 3)
    scripted.failing = lambda request: next(codes, None)
    async with connected(scripted) as database:
        await FirestoreJobs(database).read(new_id())
        await FirestoreTimers(database).next_due(1)
        await FirestoreCatalogue(database).entries()
    assert len(scripted.requests) == 9


async def test_a_read_that_is_denied_is_not(scripted: ScriptedFirestore) -> None:
    scripted.failing = lambda request: grpc.StatusCode.PERMISSION_DENIED
    async with connected(scripted) as database:
        with pytest.raises(StoreUnavailable):
            await FirestoreJobs(database).read(new_id())
        with pytest.raises(StoreUnavailable):
            await FirestoreTimers(database).next_due(1)
        with pytest.raises(StoreUnavailable):
            await database.ping()
    assert len(scripted.requests) == 3


async def test_trouble_without_end_ends_with_the_deadline(scripted: ScriptedFirestore) -> None:
    scripted.failing = lambda request: grpc.StatusCode.UNAVAILABLE
    async with connected(scripted, Limits(deadline_seconds=0.3)) as database:
        with pytest.raises(StoreUnavailable):
            await FirestoreJobs(database).read(new_id())
        with pytest.raises(StoreUnavailable):
            await FirestoreTimers(database).due([1], until=1, limit=1)


async def test_silence_ends_with_the_deadline(scripted: ScriptedFirestore) -> None:
    scripted.hold()
    async with connected(scripted, Limits(deadline_seconds=0.3)) as database:
        for call in (
            FirestoreJobs(database).read(new_id()),
            FirestoreTimers(database).next_due(1),
            FirestoreCatalogue(database).entries(),
        ):
            with pytest.raises(StoreUnavailable):
                await call


async def test_too_many_reads_are_refused_and_the_others_go_on(scripted: ScriptedFirestore) -> None:
    limits = Limits(deadline_seconds=PATIENT.deadline_seconds, max_pending_reads=10, max_pending_queries=3)
    async with connected(scripted, limits) as database:
        jobs, timers = FirestoreJobs(database), FirestoreTimers(database)
        scripted.hold()
        reads = start(jobs.read(new_id()) for _ in range(10))
        queries = start(timers.next_due(1) for _ in range(3))
        await scripted.arrived(4)
        with pytest.raises(Overloaded):
            await jobs.read(new_id())
        with pytest.raises(Overloaded):
            await timers.next_due(1)
        scripted.release()
        assert await asyncio.gather(*reads, *queries) == [None] * 13
        assert await jobs.read(new_id()) is None


async def test_a_reader_that_leaves_fails_nobody_else(scripted: ScriptedFirestore) -> None:
    shared_id = new_id()
    async with connected(scripted) as database:
        jobs = FirestoreJobs(database)
        scripted.hold()
        leaving, *staying = start(jobs.read(id) for id in (shared_id, shared_id, new_id()))
        await scripted.arrived(1)
        leaving.cancel()
        await asyncio.sleep(0)
        scripted.release()
        assert await asyncio.gather(*staying) == [None, None]


@pytest.mark.parametrize("id", ["", ".", "..", "a/b", "__a__", "x" * 1_501])
async def test_what_cannot_be_an_id_is_refused_unsent(scripted: ScriptedFirestore, id: str) -> None:
    async with connected(scripted) as database:
        with pytest.raises(ValueError, match="not the id of a document"):
            await FirestoreJobs(database).read(id)
    assert scripted.requests == []
