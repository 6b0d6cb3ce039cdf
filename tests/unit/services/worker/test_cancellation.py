"""Hearing of cancel requests: at once when called, at the next renewal when not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from services.worker.cancellation import hear_cancels
from services.worker.holding import Holding
from services.worker.keeper import RENEW_WITHIN_SECONDS, TICK_SECONDS, Keeper
from shared.cache.memory import MemoryCache
from shared.cache.memory_streams import MemoryCancellations
from shared.clock import ManualClock
from shared.lifecycle import running
from shared.models.job import Job, JobSpec
from shared.storage.contract import Version
from shared.storage.memory import MemoryDatabase, MemoryJobs

NOW = 1_750_000_000_000
SPEC = JobSpec("job_1", "acme", "h", "default", b"{}", NOW, NOW + 1_000_000, 30.0, 3)
LEASE_SECONDS = 60


@dataclass
class Bench:
    clock: ManualClock
    cache: MemoryCache
    cancellations: MemoryCancellations
    jobs: MemoryJobs
    keeper: Keeper
    told: list[str] = field(default_factory=list)

    async def hold(self) -> Holding:
        job = Job.queued(SPEC).claimed(attempt=1, fence="f", worker="w", lease_seconds=LEASE_SECONDS, at=NOW)
        version = await self.jobs.create(job)
        assert isinstance(version, Version)
        holding = Holding(job, version, self.jobs)
        self.keeper.keep(holding, lambda: self.told.append(job.spec.id))
        return holding

    async def request(self) -> None:
        stored = await self.jobs.read("job_1")
        assert stored is not None
        asked = stored.value.cancel_requested(at=self.clock.now())
        assert isinstance(await self.jobs.update(asked, stored.version), Version)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    clock = ManualClock(NOW)
    cache = MemoryCache(clock)
    cancellations = MemoryCancellations(cache)

    async def announce(_job: Job) -> None:
        pass

    keeper = Keeper(clock=clock, lease_seconds=LEASE_SECONDS, announce=announce)
    b = Bench(clock, cache, cancellations, MemoryJobs(MemoryDatabase(clock)), keeper)
    async with running(keeper.run(), hear_cancels("w", cancellations, keeper, clock, lambda: 0.5)):
        await clock.advance(0)
        yield b


async def test_a_call_finds_the_request_at_once() -> None:
    async with bench() as b:
        holding = await b.hold()
        await b.request()
        await b.cancellations.call("w", "job_1")
        await b.clock.advance(2 * TICK_SECONDS)
        assert b.told == ["job_1"]
        assert holding.cancel_requested


async def test_without_a_call_the_next_renewal_finds_it_within_the_promise() -> None:
    async with bench() as b:
        await b.hold()
        await b.clock.advance(0.1)
        await b.request()
        await b.clock.advance(RENEW_WITHIN_SECONDS)
        assert b.told == ["job_1"]
        assert RENEW_WITHIN_SECONDS + 1 <= 5


async def test_a_call_without_a_request_cancels_nothing() -> None:
    async with bench() as b:
        holding = await b.hold()
        for id in ("job_1", "job_2", ""):
            await b.cancellations.call("w", id)
        await b.clock.advance(1)
        assert b.told == []
        assert not holding.cancel_requested


async def test_calls_are_heard_again_after_redis_was_lost() -> None:
    async with bench() as b:
        await b.hold()
        b.cache.stop()
        await b.clock.advance(1)
        b.cache.start()
        await b.clock.advance(1)
        await b.request()
        await b.cancellations.call("w", "job_1")
        await b.clock.advance(2 * TICK_SECONDS)
        assert b.told == ["job_1"]
