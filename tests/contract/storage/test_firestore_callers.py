"""Bounds, cancellation, deadlines, the end: callers do nothing to each other. On a scripted server."""

import asyncio

import pytest

from shared.errors import CommitUnknown, Overloaded, StoreUnavailable
from shared.storage.contract import Version
from shared.storage.firestore import FirestoreDatabase, FirestoreJobs, Limits
from tests.contract.storage.connecting import HELD, MEGABYTE, connected, start, update_with_timer
from tests.contract.storage.samples import new_spec, running
from tests.contract.storage.scripted_firestore import ScriptedFirestore


async def test_too_many_writes_are_refused_and_the_others_go_on(scripted: ScriptedFirestore) -> None:
    async with connected(scripted, Limits(deadline_seconds=20, max_pending_writes=10)) as database:
        jobs = FirestoreJobs(database)
        scripted.hold()
        waiting = start([jobs.create(running()) for _ in range(10)])
        await scripted.arrived(1)
        with pytest.raises(Overloaded):
            await jobs.create(running())
        scripted.release()
        assert all(isinstance(result, Version) for result in await asyncio.gather(*waiting))
        assert isinstance(await jobs.create(running()), Version)


async def test_too_many_bytes_are_refused(scripted: ScriptedFirestore) -> None:
    async with connected(scripted, Limits(deadline_seconds=20, max_pending_write_bytes=2 * MEGABYTE)) as database:
        jobs = FirestoreJobs(database)
        scripted.hold()
        waiting = start([jobs.create(running(new_spec(input=b"x" * 900_000))) for _ in range(2)])
        await scripted.arrived(1)
        with pytest.raises(Overloaded):
            await jobs.create(running(new_spec(input=b"x" * 900_000)))
        scripted.release()
        await asyncio.gather(*waiting)
        assert isinstance(await jobs.create(running(new_spec(input=b"x" * 900_000))), Version)


async def test_too_many_commits_are_refused(scripted: ScriptedFirestore) -> None:
    limits = Limits(deadline_seconds=20, commits_in_flight=2, max_pending_commits=5)
    async with connected(scripted, limits) as database:
        jobs = FirestoreJobs(database)
        scripted.hold()
        waiting = start([update_with_timer(jobs, running()) for _ in range(5)])
        await scripted.arrived(2)
        with pytest.raises(Overloaded):
            await update_with_timer(jobs, running())
        scripted.release()
        assert all(isinstance(result, Version) for result in await asyncio.gather(*waiting))
    assert scripted.most_under_way == 2


async def test_a_write_whose_caller_left_before_it_did_is_not_sent(scripted: ScriptedFirestore) -> None:
    async with connected(scripted, Limits(deadline_seconds=20, writes_in_flight=1)) as database:
        jobs = FirestoreJobs(database)
        scripted.hold()
        first = start([jobs.create(running())])
        await scripted.arrived(1)
        left, stays = running(), running()
        [leaving, staying] = start([jobs.create(left), jobs.create(stays)])
        await asyncio.sleep(0)
        leaving.cancel()
        scripted.release()
        await asyncio.gather(*first, staying)
    assert leaving.cancelled()
    assert scripted.writes_of(left.spec.id) == []
    assert len(scripted.writes_of(stays.spec.id)) == 1


async def test_a_caller_that_leaves_fails_nobody_else(scripted: ScriptedFirestore) -> None:
    async with connected(scripted) as database:
        jobs = FirestoreJobs(database)
        scripted.hold()
        job = running()
        leaving, *staying = start([jobs.create(job), *(jobs.create(running()) for _ in range(9))])
        behind = start([jobs.update(job, HELD)])
        await scripted.arrived(1)
        leaving.cancel()
        await asyncio.sleep(0)
        scripted.release()
        assert all(isinstance(result, Version) for result in await asyncio.gather(*staying, *behind))


async def test_a_write_whose_answer_does_not_come_is_unknown(scripted: ScriptedFirestore) -> None:
    async with connected(scripted, Limits(deadline_seconds=1)) as database:
        jobs = FirestoreJobs(database)
        await database.ping()
        scripted.hold()
        for write in (jobs.create(running()), update_with_timer(jobs, running())):
            with pytest.raises(CommitUnknown):
                await write
        scripted.release()
        assert isinstance(await jobs.create(running()), Version)


async def test_leaving_finishes_what_is_under_way_and_takes_no_more(scripted: ScriptedFirestore) -> None:
    scripted.hold()
    database = await FirestoreDatabase("scripted", scripted.address).__aenter__()
    jobs = FirestoreJobs(database)
    waiting = start([jobs.create(running()), update_with_timer(jobs, running())])
    await scripted.arrived(2)
    leaving = asyncio.create_task(database.__aexit__(None, None, None))
    for _ in range(5):  # turns of the loop, for it to reach every door
        await asyncio.sleep(0)
    with pytest.raises(StoreUnavailable):
        await jobs.create(running())
    with pytest.raises(StoreUnavailable):
        await update_with_timer(jobs, running())
    with pytest.raises(StoreUnavailable):
        await jobs.read("job_1")
    assert not leaving.done()
    scripted.release()
    assert all(isinstance(result, Version) for result in await asyncio.gather(*waiting))
    await leaving
