"""Deleting beside the store: every gateway forgets, and Redis is cleaned whenever it can be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.gateway.jobs.delete import MAX_LEFT, RETRY_SECONDS, Cleaner, Remains
from services.gateway.jobs.finished import Finished
from services.gateway.jobs.status import Statuses
from services.gateway.jobs.waiting import Waiting
from services.gateway.settings import Settings
from shared.cache.contract import Flight, Hit, Led, Report, ReportKind, Result
from shared.cache.memory import MemoryCache
from shared.cache.memory_streams import MemoryRecent, MemoryStreams
from shared.clock import ManualClock
from shared.config import Secret
from shared.ids import IdKeys, Ids
from shared.lifecycle import running
from shared.models.job import Retention
from shared.models.public import Snapshot, deleted
from shared.storage.memory import MemoryDatabase, MemoryJobs

REMAINS = Remains("job_1", "acme", "key")
DONE = Snapshot("job_1", 0x1401, terminal=True, body=b'{"output":1}')


@dataclass
class Bench:
    clock: ManualClock
    cache: MemoryCache
    streams: MemoryStreams
    recent: MemoryRecent
    cleaner: Cleaner

    async def fill(self) -> None:
        """Everything that Redis may have of a job."""
        await self.streams.append("job_1", [Report(ReportKind.OUTPUT, 1, b"1")], turn=1)
        self.recent.add("acme", Snapshot("job_1", 0x100, terminal=False, body=b"{}"))
        await self.cache.tell(DONE)
        await self.cache.enter("key", Flight("job_1", b""), ttl_seconds=60)
        await self.cache.land("key", Result(DONE, 600, 0.0))

    async def clean(self) -> bool:
        return (
            await self.cache.fetch("job_1") == deleted("job_1")
            and not await self.streams.after("job_1", None, limit=1)
            and not await self.recent.newest("acme")
            and not isinstance(await self.cache.enter("key", Flight("job_2", b""), ttl_seconds=60), Hit)
        )


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    clock = ManualClock()
    cache = MemoryCache(clock)
    streams, recent = MemoryStreams(cache), MemoryRecent(cache)
    cleaner = Cleaner(eraser=cache, flights=cache, recent=recent, clock=clock)
    async with running(cleaner.run()):
        yield Bench(clock, cache, streams, recent, cleaner)


async def test_nothing_of_the_job_is_left_in_redis() -> None:
    async with bench() as b:
        await b.fill()
        await b.cleaner.clean(REMAINS)
        assert await b.clean()


async def test_without_redis_it_is_cleaned_as_soon_as_it_is_back() -> None:
    async with bench() as b:
        b.cache.stop()
        await b.cleaner.clean(REMAINS)
        await b.clock.advance(10)
        b.cache.start()
        await b.fill()  # it came back with what it had
        assert not await b.clean()
        await b.clock.advance(RETRY_SECONDS)
        assert await b.clean()


async def test_what_would_be_over_in_redis_is_left_alone() -> None:
    async with bench() as b:
        b.cache.stop()
        await b.cleaner.clean(REMAINS)
        await b.clock.advance(3_600)
        b.cache.start()
        await b.fill()
        await b.clock.advance(10 * RETRY_SECONDS)
        assert await b.cache.fetch("job_1") == DONE


async def test_what_waits_for_redis_is_bounded() -> None:
    async with bench() as b:
        b.cache.stop()
        for number in range(MAX_LEFT + 5):
            await b.cleaner.clean(Remains(f"job_{number}", "acme", None))
        b.cache.start()
        await b.clock.advance(RETRY_SECONDS)
        found = [await b.cache.fetch(f"job_{number}") for number in (4, 5, MAX_LEFT + 4)]
        assert [each is not None for each in found] == [False, True, True]


async def test_the_result_of_another_job_stays() -> None:
    async with bench() as b:
        other = Snapshot("job_9", 0x1401, terminal=True, body=b"{}")
        await b.cache.land("key", Result(other, 600, 0.0))
        await b.cleaner.clean(REMAINS)
        assert isinstance(await b.cache.enter("key", Flight("job_2", b""), ttl_seconds=60), Hit)
        await b.cleaner.clean(Remains("job_9", "acme", "key"))
        assert isinstance(await b.cache.enter("key", Flight("job_2", b""), ttl_seconds=60), Led)


def _gateway(cache: MemoryCache, clock: ManualClock, name: str) -> tuple[Finished, Waiting]:
    settings = Settings(id_keys=Secret("unused"), instance=name)
    finished, store = Finished(1_000_000, clock), MemoryJobs(MemoryDatabase(clock))
    ids = Ids(IdKeys({1: b"k" * 32}))
    statuses = Statuses(
        settings, ids=ids, finished=finished, cache=cache, store=store, retention=Retention(), clock=clock
    )
    waiting = Waiting(settings, cache=cache, statuses=statuses, finished=finished, clock=clock, chance=lambda: 0.5)
    return finished, waiting


async def test_every_gateway_forgets_and_one_that_missed_it_forgets_all() -> None:
    async with bench() as b:
        gateways = [_gateway(b.cache, b.clock, f"gateway-{number}") for number in range(3)]
        async with running(*(each for _, waiting in gateways for each in waiting.follow())):
            await b.clock.advance(0)
            for finished, _ in gateways:
                finished.put(DONE)
            await b.cleaner.clean(REMAINS)
            for _ in range(20):
                await asyncio.sleep(0)
            assert [finished.get("job_1") for finished, _ in gateways] == [None] * 3
            other = Snapshot("job_2", 0x1401, terminal=True, body=b"{}")
            for finished, _ in gateways:
                finished.put(other)
            b.cache.stop()  # whoever deletes now is not heard
            await b.clock.advance(1)
            assert all(finished.get("job_2") for finished, _ in gateways)
            b.cache.start()
            await b.clock.advance(2)
            assert [finished.get("job_2") for finished, _ in gateways] == [None] * 3
