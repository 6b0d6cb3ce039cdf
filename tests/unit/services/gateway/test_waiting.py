"""Holding clients: woken when told, looking again when not, and what loses Redis or the store does to them."""

import asyncio
import gc
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from services.gateway.http.problems import Problem
from services.gateway.jobs.finished import Finished
from services.gateway.jobs.status import Statuses
from services.gateway.jobs.waiting import RECHECK_TICK_SECONDS, STORE_LOOKS_A_TICK, Waiting
from services.gateway.settings import Settings
from shared.cache.contract import LIVE_TTL_SECONDS
from shared.cache.memory import MemoryCache
from shared.clock import ManualClock
from shared.config import Secret
from shared.errors import StoreUnavailable
from shared.ids import IdKeys, Ids, IssuedId
from shared.lifecycle import running
from shared.models.job import Job, JobSpec, JobStatus, Retention
from shared.models.public import Snapshot, deleted, snapshot
from shared.storage.contract import Stored, Version
from shared.storage.memory import MemoryDatabase, MemoryJobs

IDS = Ids(IdKeys({1: b"k" * 32}))
SETTINGS = Settings(id_keys=Secret("unused"), instance="gateway-1", max_held=500, store_seconds=5)


@dataclass
class Bench:
    clock: ManualClock
    cache: MemoryCache
    database: MemoryDatabase
    jobs: MemoryJobs
    waiting: Waiting
    statuses: Statuses
    finished: Finished

    def issue(self) -> tuple[IssuedId, Job]:
        issued = IDS.issue("job", "acme", created_at=self.clock.now(), lifetime_ms=86_400_000)
        spec = JobSpec(issued.text, "acme", "h", "default", b"{}", issued.created_at, issued.expires_at, 30.0, 3)
        return issued, Job.queued(spec)

    async def claim(self, job: Job) -> tuple[Job, Version]:
        running_job = job.claimed(attempt=1, fence="f", worker="w", lease_seconds=15, at=self.clock.now())
        version = await self.jobs.create(running_job)
        assert isinstance(version, Version)
        return running_job, version

    async def finish(self, job: Job, version: Version, *, tell: bool = True) -> Snapshot:
        done = job.succeeded(b"42", at=self.clock.now())
        assert isinstance(await self.jobs.update(done, version), Version)
        if tell:
            await self.cache.tell(snapshot(done))
        return snapshot(done)

    async def over(self, wait: Coroutine[Any, Any, Snapshot], seconds: float) -> Snapshot:
        """What is answered once the time is over, which it is not a moment before."""
        waiter = await started(wait)
        await self.clock.advance(seconds - 0.2)
        await settle()
        assert not waiter.done()
        await self.clock.advance(0.4)
        return await waiter


@asynccontextmanager
async def bench(*, following: bool = True) -> AsyncIterator[Bench]:
    """following: listen and look again, as the service does; without it days pass at no cost."""
    clock = ManualClock()
    cache, database, finished = MemoryCache(clock), MemoryDatabase(clock), Finished(1_000_000, clock)
    jobs = MemoryJobs(database)
    statuses = Statuses(
        SETTINGS, ids=IDS, finished=finished, cache=cache, store=jobs, retention=Retention(), clock=clock
    )
    waiting = Waiting(SETTINGS, cache=cache, statuses=statuses, finished=finished, clock=clock, chance=lambda: 0.5)
    async with running(*(waiting.follow() if following else ())):
        await settle()
        yield Bench(clock, cache, database, jobs, waiting, statuses, finished)


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


async def started(wait: Coroutine[Any, Any, Snapshot]) -> "asyncio.Task[Snapshot]":
    task = asyncio.create_task(wait)
    await settle()
    return task


async def test_a_waiter_is_woken_by_the_finish() -> None:
    async with bench() as b:
        issued, job = b.issue()
        waiter = await started(b.waiting.wait(issued, seconds=5, fresh=snapshot(job)))
        assert b.waiting.count == 1
        done = await b.finish(*await b.claim(job))
        assert await waiter == done
        assert b.waiting.count == 0


async def test_what_was_told_before_the_waiter_came_is_found() -> None:
    async with bench() as b:
        issued, job = b.issue()
        done = await b.finish(*await b.claim(job))
        assert await b.waiting.wait(issued, seconds=5) == done


async def test_a_lost_wake_up_is_covered_by_looking_again() -> None:
    async with bench() as b:
        issued, job = b.issue()
        waiter = await started(b.waiting.wait(issued, seconds=30, fresh=snapshot(job)))
        done = await b.finish(*await b.claim(job), tell=False)
        await b.clock.advance(16)
        assert await waiter == done


async def test_while_redis_answers_a_crowd_asks_the_store_by_turns() -> None:
    async with bench() as b:
        reads = 0
        read = b.jobs.read

        async def counted(id: str) -> Stored[Job] | None:
            nonlocal reads
            reads += 1
            return await read(id)

        b.jobs.read = counted  # type: ignore[method-assign]
        crowd = [b.issue() for _ in range(3 * STORE_LOOKS_A_TICK)]
        waiters = [await started(b.waiting.wait(issued, seconds=59)) for issued, _ in crowd]
        untold = [(issued, await b.finish(*await b.claim(job), tell=False)) for issued, job in crowd]
        reads = 0
        for _ in range(20):
            before = reads
            await b.clock.advance(RECHECK_TICK_SECONDS)
            await settle()
            assert reads - before <= STORE_LOOKS_A_TICK
        assert {waiter.result() for waiter in waiters} == {state for _, state in untold}


async def test_waiters_survive_the_loss_of_redis() -> None:
    async with bench() as b:
        issued, job = b.issue()
        b.cache.stop()
        waiter = await started(b.waiting.wait(issued, seconds=30, fresh=snapshot(job)))
        held = await b.claim(job)
        b.cache.start()
        await b.clock.advance(2)  # the channel is entered again, and with it every waiter is registered again
        done = await b.finish(*held)
        assert await waiter == done


async def test_any_change_answers_a_client_that_knows_the_state() -> None:
    async with bench() as b:
        issued, job = b.issue()
        waiter = await started(b.waiting.wait(issued, seconds=5, known=job.order, fresh=snapshot(job)))
        running_job, _ = await b.claim(job)
        await b.cache.tell(snapshot(running_job))
        assert (await waiter).order == running_job.order


async def test_a_wait_that_is_over_answers_with_the_state() -> None:
    async with bench() as b:
        issued, job = b.issue()
        await b.claim(job)
        found = await b.over(b.waiting.wait(issued, seconds=5), 5)
        assert orjson.loads(found.body)["status"] == "running"


async def test_an_unclaimed_job_is_waited_for_by_its_id_alone() -> None:
    async with bench() as b:
        issued, job = b.issue()
        waiter = await started(b.waiting.wait(issued, seconds=5))
        done = await b.finish(*await b.claim(job))
        assert await waiter == done


async def test_who_does_not_wait_is_not_shown_what_only_a_crowd_keeps_in_redis() -> None:
    async with bench() as b:
        issued, job = b.issue()
        await b.cache.tell(snapshot(job))
        await b.clock.advance(LIVE_TTL_SECONDS + 1)
        assert await b.statuses.read(issued) == snapshot(job)
        done = await b.finish(*await b.claim(job), tell=False)
        assert await b.statuses.read(issued) == done


async def test_a_read_that_fails_when_everyone_has_given_up_is_no_error() -> None:
    async with bench() as b:
        answer, complaints = asyncio.Event(), list[dict[str, Any]]()
        loop = asyncio.get_running_loop()

        async def late(id: str) -> Stored[Job] | None:
            await answer.wait()
            raise StoreUnavailable("too late for anyone")

        b.jobs.read = late  # type: ignore[method-assign]
        asker = await started(b.statuses.read(b.issue()[0]))
        asker.cancel()
        await settle()
        loop.set_exception_handler(lambda _, complaint: complaints.append(complaint))
        try:
            answer.set()
            await settle()
            del asker  # its frames know the read
            gc.collect()
        finally:
            loop.set_exception_handler(None)
        assert not complaints


async def test_a_state_once_seen_never_goes_back() -> None:
    async with bench() as b:
        issued, job = b.issue()
        running_job, _ = await b.claim(job)
        await b.cache.tell(snapshot(job))
        found = await b.over(b.waiting.wait(issued, seconds=5, known=running_job.order), 5)
        assert found.order == running_job.order


async def test_draining_answers_everyone_with_the_state() -> None:
    async with bench() as b:
        issued, job = b.issue()
        waiters = [await started(b.waiting.wait(issued, seconds=30, fresh=snapshot(job))) for _ in range(5)]
        b.waiting.release_all()
        assert {found.order for found in await asyncio.gather(*waiters)} == {job.order}
        assert await b.waiting.wait(issued, seconds=30, fresh=snapshot(job)) == snapshot(job)


async def test_the_number_of_held_requests_is_bounded() -> None:
    async with bench() as b:
        waiters = []
        for _ in range(SETTINGS.max_held):
            issued, job = b.issue()
            waiters.append(await started(b.waiting.wait(issued, seconds=30, fresh=snapshot(job))))
        with pytest.raises(Problem) as refusal:
            await b.waiting.wait(b.issue()[0], seconds=30)
        assert refusal.value.type.status == 503
        b.waiting.release_all()
        await asyncio.gather(*waiters)


async def test_a_client_that_leaves_frees_its_waiter() -> None:
    async with bench() as b:
        issued, job = b.issue()
        waiter = await started(b.waiting.wait(issued, seconds=30, fresh=snapshot(job)))
        waiter.cancel()
        await settle()
        assert b.waiting.count == 0
        assert not b.waiting._watches


async def test_the_last_of_many_waiters_takes_the_watch_away() -> None:
    async with bench() as b:
        issued, job = b.issue()
        first = await started(b.waiting.wait(issued, seconds=30))
        second = await started(b.waiting.wait(issued, seconds=30))
        first.cancel()
        await settle()
        done = await b.finish(*await b.claim(job))
        assert await second == done
        assert not b.waiting._watches


async def test_a_store_that_is_lost_refuses_only_those_it_must() -> None:
    async with bench() as b:
        b.database.fail()
        issued, job = b.issue()
        known = await b.over(b.waiting.wait(issued, seconds=1, fresh=snapshot(job)), 1)
        assert known == snapshot(job)
        with pytest.raises(Problem) as refusal:
            await b.waiting.wait(b.issue()[0], seconds=1)
        assert refusal.value.type.status == 503


async def test_past_its_lifetime_an_unclaimed_job_has_expired_and_is_gone_in_the_end() -> None:
    async with bench(following=False) as b:
        issued, _ = b.issue()
        await b.clock.advance(86_400)
        found = await b.statuses.read(issued)
        assert found.terminal
        assert orjson.loads(found.body)["status"] == JobStatus.EXPIRED
        await b.clock.advance(8 * 86_400)
        with pytest.raises(Problem) as refusal:
            await b.statuses.stored(issued)
        assert refusal.value.type.status == 410


async def test_past_retention_a_finished_job_is_gone() -> None:
    async with bench(following=False) as b:
        issued, job = b.issue()
        held = await b.claim(job)
        await b.finish(*held, tell=False)
        await b.clock.advance(86_399)
        assert (await b.statuses.document(issued)) is not None
        await b.clock.advance(2)
        with pytest.raises(Problem) as refusal:
            await b.statuses.stored(issued)
        assert refusal.value.type.status == 410


async def test_whoever_is_held_hears_each_change_until_the_end() -> None:
    async with bench() as b:
        issued, job = b.issue()
        async with b.waiting.held(issued) as held:
            assert (b.waiting.count, orjson.loads(held.latest.body)["status"]) == (1, "queued")
            claimed, version = await b.claim(job)
            for told in (claimed, claimed.cancel_requested(at=b.clock.now())):
                bell: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                with held.ringing(bell):
                    await b.cache.tell(snapshot(told))
                    await asyncio.wait_for(bell, 5)
                assert held.latest == snapshot(told)
            done = await b.finish(claimed, version)
            await settle()
            assert held.latest == done
        assert b.waiting.count == 0


async def test_the_end_of_this_gateway_rings_too() -> None:
    async with bench() as b:
        issued, _ = b.issue()
        async with b.waiting.held(issued) as held:
            bell: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            with held.ringing(bell):
                b.waiting.release_all()
                await asyncio.wait_for(bell, 5)
            assert held.draining


async def test_a_held_client_that_knows_more_than_the_cache_is_answered_from_the_store() -> None:
    async with bench(following=False) as b:
        issued, job = b.issue()
        claimed, _ = await b.claim(job)
        await b.cache.tell(snapshot(job))
        async with b.waiting.held(issued, known=claimed.order) as held:
            assert held.latest == snapshot(claimed)


async def test_a_deleted_job_is_gone_for_waiters_whatever_redis_says() -> None:
    async with bench() as b:
        issued, job = b.issue()
        done = await b.finish(*await b.claim(job))
        b.finished.put(deleted(issued.text))
        assert await b.cache.fetch(issued.text) == done
        with pytest.raises(Problem) as refusal:
            await b.waiting.wait(issued, seconds=1)
        assert refusal.value.type.status == 410
        with pytest.raises(Problem):
            async with b.waiting.held(issued):
                pass
        with pytest.raises(Problem):
            await b.statuses.read(issued)
        await b.cache.erase(issued.text)
        other = await started(b.waiting.wait(issued, seconds=1))
        with pytest.raises(Problem):
            await other
