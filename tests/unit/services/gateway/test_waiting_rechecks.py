"""What waiters do that hear nothing: look again in Redis, register anew, ask the store by turns."""

from collections.abc import Sequence
from typing import Final

from services.gateway.jobs.looking import RECHECK_TICK_SECONDS, STORE_LOOKS_A_TICK
from shared.cache.lifetimes import LIVE_TTL_SECONDS
from shared.models.job import Job
from shared.models.public import Snapshot, snapshot
from shared.storage.contract import Stored
from tests.unit.services.gateway.waiting_bench import bench, settle, started

REGISTERED_AGAIN_SECONDS: Final = 36
"""The third look is due then, and finds its registration as old."""


async def test_a_lost_wake_up_is_covered_by_looking_again() -> None:
    async with bench() as b:
        issued, job = b.issue()
        waiter = await started(b.waiting.wait(issued, seconds=30, fresh=snapshot(job)))
        done = await b.finish(*await b.claim(job), tell=False)
        await b.clock.advance(16)
        assert await waiter == done


async def test_a_waiter_is_registered_once_however_long_its_job_waits_and_is_told_of_the_finish() -> None:
    async with bench() as b:
        registered: list[str] = []
        watch = b.cache.watch

        async def counted(gateway: str, ids: Sequence[str]) -> Sequence[Snapshot | None]:
            registered.extend(ids)
            return await watch(gateway, ids)

        b.cache.watch = counted  # type: ignore[method-assign]
        issued, job = b.issue()
        await b.cache.tell(snapshot(job))
        waiter = await started(b.waiting.wait(issued, seconds=59))
        for _ in range(REGISTERED_AGAIN_SECONDS - 1):
            await b.clock.advance(1)
        assert registered == [issued.text]
        for _ in range(59 - REGISTERED_AGAIN_SECONDS):
            await b.clock.advance(1)
        assert registered == 2 * [issued.text]
        assert await b.cache.fetch(issued.text) == snapshot(job)
        done = await b.finish(*await b.claim(job))
        assert await waiter == done


async def test_who_was_not_told_of_what_it_finds_is_registered_anew() -> None:
    async with bench() as b:
        issued, job = b.issue()
        waiter = await started(b.waiting.wait(issued, seconds=59, fresh=snapshot(job)))
        await b.clock.advance(8)
        b.cache.flush()
        running, version = await b.claim(job)
        await b.cache.tell(snapshot(running))
        await b.clock.advance(8)
        assert not waiter.done()
        done = await b.finish(running, version)
        await settle()
        assert waiter.result() == done


async def test_who_finds_nothing_is_registered_anew() -> None:
    async with bench() as b:
        issued, job = b.issue()
        waiter = await started(b.waiting.wait(issued, seconds=59, fresh=snapshot(job)))
        b.cache.flush()
        await b.clock.advance(16)
        done = await b.finish(*await b.claim(job))
        await settle()
        assert waiter.result() == done


async def test_while_redis_answers_a_crowd_asks_the_store_by_turns() -> None:
    """R24."""
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


async def test_of_what_redis_lost_the_store_is_asked_once() -> None:
    """R24."""
    async with bench() as b:
        issued, _ = b.issue()
        first = await started(b.waiting.wait(issued, seconds=1))
        await b.clock.advance(2)
        b.database.fail()
        told = await first
        again = await started(b.waiting.wait(issued, seconds=1))
        await b.clock.advance(2)
        assert await again == told


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


async def test_who_does_not_wait_is_not_shown_what_only_a_crowd_keeps_in_redis() -> None:
    async with bench() as b:
        issued, job = b.issue()
        await b.cache.tell(snapshot(job))
        await b.clock.advance(LIVE_TTL_SECONDS + 1)
        assert await b.statuses.read(issued) == snapshot(job)
        done = await b.finish(*await b.claim(job), tell=False)
        assert await b.statuses.read(issued) == done
