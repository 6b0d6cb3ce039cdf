"""Holding clients: woken when told, bounded, let go, and answered at the end of their time."""

import asyncio
import gc
from typing import Any

import orjson
import pytest

from services.gateway.http.problems import Problem
from shared.errors import StoreUnavailable
from shared.models.job import Job, JobStatus
from shared.models.public import deleted, snapshot
from shared.storage.contract import Stored
from tests.unit.services.gateway.waiting_bench import SETTINGS, bench, settle, started


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
        assert not list(b.waiting._looking.watches)


async def test_the_last_of_many_waiters_takes_the_watch_away() -> None:
    async with bench() as b:
        issued, job = b.issue()
        first = await started(b.waiting.wait(issued, seconds=30))
        second = await started(b.waiting.wait(issued, seconds=30))
        first.cancel()
        await settle()
        done = await b.finish(*await b.claim(job))
        assert await second == done
        assert not list(b.waiting._looking.watches)


async def test_a_store_that_is_lost_refuses_only_those_it_must() -> None:
    async with bench() as b:
        b.database.fail()
        issued, job = b.issue()
        known = await b.over(b.waiting.wait(issued, seconds=1, fresh=snapshot(job)), 1)
        assert known == snapshot(job)
        with pytest.raises(Problem) as refusal:
            await b.over(b.waiting.wait(b.issue()[0], seconds=1), 1)
        assert refusal.value.type.status == 503


async def test_while_nobody_can_tell_the_state_a_waiter_waits_on() -> None:
    """R24. Turned away, a crowd would come back at once, and the store would never answer again."""
    async with bench() as b:
        (issued, job), (quiet, other) = b.issue(), b.issue()
        b.database.fail()
        told = await started(b.waiting.wait(issued, seconds=30))
        untold = await started(b.waiting.wait(quiet, seconds=30))
        await b.clock.advance(5)
        assert not told.done()
        b.database.heal()
        assert await b.finish(*await b.claim(job)) == await told
        finished = await b.finish(*await b.claim(other), tell=False)
        await b.clock.advance(3)
        assert await untold == finished


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
