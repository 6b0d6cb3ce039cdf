"""Looking a document up: one read for all who ask meanwhile, and for nobody what was there before they asked."""

import asyncio

import pytest

from services.gateway.http.problems import UNAVAILABLE, Problem
from services.gateway.jobs.finished import Finished
from services.gateway.jobs.lookup import Lookup
from shared.cache.memory import MemoryCache
from shared.clock import ManualClock
from shared.errors import StoreUnavailable
from shared.models.job import Job, JobSpec
from shared.storage.contract import Stored, Version
from shared.storage.memory import MemoryDatabase, MemoryJobs

ID = "job_1"


class Slow(MemoryJobs):
    """What a read meets is settled when it begins; it answers when it is let."""

    def __init__(self, database: MemoryDatabase) -> None:
        super().__init__(database)
        self.begun = 0
        self.answers = asyncio.Semaphore(0)
        self.fails = False

    async def read(self, id: str) -> Stored[Job] | None:
        self.begun += 1
        found = await super().read(id)
        await self.answers.acquire()
        if self.fails:
            raise StoreUnavailable("away")
        return found


class Bench:
    def __init__(self) -> None:
        clock = ManualClock()
        self.now = clock.now
        self.jobs = Slow(MemoryDatabase(clock))
        finished, cache = Finished(1_000, clock), MemoryCache(clock)
        self.lookup = Lookup("job", finished=finished, cache=cache, store=self.jobs, store_seconds=5)

    async def claim(self) -> None:
        spec = JobSpec(ID, "acme", "h", "default", b"{}", self.now(), self.now() + 60_000, 30.0, 3)
        job = Job.queued(spec).claimed(attempt=1, fence="f", worker="w", lease_seconds=15, at=self.now())
        assert isinstance(await self.jobs.create(job), Version)

    async def ask(self, times: int = 1) -> "list[asyncio.Task[Stored[Job] | None]]":
        asking = [asyncio.create_task(self.lookup.document(ID)) for _ in range(times)]
        for _ in range(5):
            await asyncio.sleep(0)
        return asking


async def test_all_who_ask_at_once_are_answered_by_one_read() -> None:
    """R24."""
    bench = Bench()
    await bench.claim()
    asking = await bench.ask(50)
    bench.jobs.answers.release()
    found = await asyncio.gather(*asking)
    assert {each and each.value.spec.id for each in found} == {ID}
    assert bench.jobs.begun == 1


async def test_who_asks_while_it_is_read_is_told_what_is_there_then() -> None:
    """R23, R24."""
    bench = Bench()
    early = await bench.ask(3)
    await bench.claim()
    late = await bench.ask(3) + await bench.ask(3)
    assert bench.jobs.begun == 1
    bench.jobs.answers.release()
    assert await asyncio.gather(*early) == [None] * 3
    bench.jobs.answers.release()
    assert None not in await asyncio.gather(*late)
    assert bench.jobs.begun == 2


async def test_one_who_gives_up_takes_nobody_along() -> None:
    bench = Bench()
    await bench.claim()
    leaves, stays = await bench.ask(2)
    leaves.cancel()
    bench.jobs.answers.release()
    assert await stays is not None


async def test_a_read_that_fails_is_everyones_and_not_the_next_ones() -> None:
    bench = Bench()
    bench.jobs.fails = True
    asking, late = await bench.ask(2), await bench.ask()
    bench.jobs.answers.release()
    for each in asking:
        with pytest.raises(Problem) as refused:
            await each
        assert refused.value.type is UNAVAILABLE
    bench.jobs.fails = False
    bench.jobs.answers.release()
    assert [await each for each in late] == [None]
