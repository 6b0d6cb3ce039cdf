"""What becomes of a write by the status that it gets, on a scripted server."""

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import pytest

from shared.errors import CommitUnknown, DocumentRefused, StoreUnavailable
from shared.models.job import Job
from shared.storage.contract import Conflict, Version, WriteResult
from shared.storage.firestore import FirestoreJobs, Limits
from tests.contract.storage.connecting import MEGABYTE, connected, create, names, update, update_with_timer
from tests.contract.storage.samples import new_spec, running
from tests.contract.storage.scripted_firestore import ScriptedFirestore

ABORTED, EXHAUSTED, UNAVAILABLE, DEADLINE, INTERNAL = 10, 8, 14, 4, 13
EXISTS, STALE, MISSING, INVALID, DENIED = 6, 9, 5, 3, 7

Write = Callable[[FirestoreJobs, Job], Awaitable[WriteResult]]

WRITES = pytest.mark.parametrize("write", [create, update, update_with_timer])


@WRITES
@pytest.mark.parametrize(
    ("status", "conflict"), [(EXISTS, Conflict.EXISTS), (STALE, Conflict.STALE), (MISSING, Conflict.MISSING)]
)
async def test_a_conflict_is_a_value(
    scripted: ScriptedFirestore, write: Write, status: int, conflict: Conflict
) -> None:
    job = running()
    scripted.statuses[job.spec.id] = [status]
    async with connected(scripted) as database:
        assert await write(FirestoreJobs(database), job) is conflict
    assert len(scripted.requests) == 1


@WRITES
@pytest.mark.parametrize("status", [ABORTED, EXHAUSTED])
async def test_what_was_certainly_not_applied_is_tried_again(
    scripted: ScriptedFirestore, write: Write, status: int
) -> None:
    """R10: ABORTED and RESOURCE_EXHAUSTED."""
    job = running()
    scripted.statuses[job.spec.id] = [status, status, 0]
    async with connected(scripted) as database:
        assert isinstance(await write(FirestoreJobs(database), job), Version)
    assert len(scripted.requests) == 3


@WRITES
@pytest.mark.parametrize("status", [ABORTED, EXHAUSTED])
async def test_a_conflict_after_a_certain_failure_is_a_rival_s(
    scripted: ScriptedFirestore, write: Write, status: int
) -> None:
    job = running()
    scripted.statuses[job.spec.id] = [status, STALE]
    async with connected(scripted) as database:
        assert await write(FirestoreJobs(database), job) is Conflict.STALE


@WRITES
@pytest.mark.parametrize("status", [UNAVAILABLE, DEADLINE, INTERNAL, 99])
async def test_a_doubt_is_settled_by_trying_again(scripted: ScriptedFirestore, write: Write, status: int) -> None:
    """R10: UNAVAILABLE and DEADLINE_EXCEEDED."""
    job = running()
    scripted.statuses[job.spec.id] = [status if status != 99 or write is not update_with_timer else INTERNAL, 0]
    async with connected(scripted) as database:
        assert isinstance(await write(FirestoreJobs(database), job), Version)


@WRITES
@pytest.mark.parametrize("doubt", [UNAVAILABLE, DEADLINE, INTERNAL])
@pytest.mark.parametrize("conflict", [EXISTS, STALE, MISSING])
async def test_a_conflict_after_a_doubt_is_unknown(
    scripted: ScriptedFirestore, write: Write, doubt: int, conflict: int
) -> None:
    """It may be our own write that stands in the way."""
    job = running()
    scripted.statuses[job.spec.id] = [doubt, ABORTED, conflict]
    async with connected(scripted) as database:
        with pytest.raises(CommitUnknown):
            await write(FirestoreJobs(database), job)


@WRITES
async def test_an_invalid_document_is_refused_at_once(scripted: ScriptedFirestore, write: Write) -> None:
    job = running()
    scripted.statuses[job.spec.id] = [INVALID]
    async with connected(scripted) as database:
        with pytest.raises(DocumentRefused):
            await write(FirestoreJobs(database), job)
    assert len(scripted.requests) == 1


@WRITES
async def test_what_is_denied_is_not_tried_again(scripted: ScriptedFirestore, write: Write) -> None:
    job = running()
    scripted.statuses[job.spec.id] = [DENIED]
    async with connected(scripted) as database:
        with pytest.raises(StoreUnavailable) as raised:
            await write(FirestoreJobs(database), job)
    assert not isinstance(raised.value, CommitUnknown)
    assert len(scripted.requests) == 1


@WRITES
async def test_a_document_beyond_any_request_is_refused_unsent(scripted: ScriptedFirestore, write: Write) -> None:
    job = running(new_spec(input=b"x" * 3 * MEGABYTE)).succeeded(b"x" * 3 * MEGABYTE, at=1)
    async with connected(scripted) as database:
        with pytest.raises(DocumentRefused):
            await write(FirestoreJobs(database), job)
    assert scripted.requests == []


@WRITES
async def test_trouble_without_end_ends_with_the_deadline(scripted: ScriptedFirestore, write: Write) -> None:
    scripted.failing = lambda request: grpc.StatusCode.ABORTED
    async with connected(scripted, Limits(deadline_seconds=0.5), jitter=1.0) as database:
        with pytest.raises(StoreUnavailable) as raised:
            await write(FirestoreJobs(database), running())
    assert len(scripted.requests) > 1
    assert not isinstance(raised.value, CommitUnknown)


async def test_one_bad_document_is_found_by_halving(scripted: ScriptedFirestore) -> None:
    bad = running()
    scripted.failing = lambda request: grpc.StatusCode.INVALID_ARGUMENT if bad.spec.id in names(request) else None
    good = [running() for _ in range(99)]
    async with connected(scripted) as database:
        jobs = FirestoreJobs(database)
        *results, refused = await asyncio.gather(*map(jobs.create, [*good, bad]), return_exceptions=True)
    assert all(isinstance(result, Version) for result in results)
    assert isinstance(refused, DocumentRefused)
    assert len(scripted.requests) <= 15
    assert all(len(scripted.writes_of(job.spec.id)) >= 1 for job in good)


async def test_a_request_that_fails_whole_is_tried_again_whole(scripted: ScriptedFirestore) -> None:
    codes = iter([grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
    scripted.failing = lambda request: next(codes, None)
    async with connected(scripted) as database:
        jobs = FirestoreJobs(database)
        results = await asyncio.gather(*(jobs.create(running()) for _ in range(100)))
    assert all(isinstance(result, Version) for result in results)
    assert [len(request.writes) for request in scripted.requests] == [100, 100, 100]


async def test_retries_have_a_budget(scripted: ScriptedFirestore) -> None:
    """A store that fails everything is not asked many times for each write."""
    scripted.failing = lambda request: grpc.StatusCode.UNAVAILABLE
    async with connected(scripted, Limits(deadline_seconds=20)) as database:
        jobs = FirestoreJobs(database)
        writes = [jobs.create(running()) for _ in range(3_000)]
        results = await asyncio.gather(*writes, return_exceptions=True)
    assert all(isinstance(result, CommitUnknown) for result in results)
    assert sum(len(request.writes) for request in scripted.requests) <= 3_000 + 2_000


async def test_a_reply_that_does_not_fit_the_request_is_a_doubt(scripted: ScriptedFirestore) -> None:
    rivals = [running() for _ in range(3)]
    scripted.short_replies = 1
    for job in rivals:
        scripted.statuses[job.spec.id] = [0, EXISTS]
    async with connected(scripted) as database:
        jobs = FirestoreJobs(database)
        results = await asyncio.gather(*map(jobs.create, rivals), return_exceptions=True)
    assert all(isinstance(result, CommitUnknown) for result in results)
