"""Following streams in one gateway: hints, one read for many, and nothing left behind."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from services.gateway.jobs.feeds import ENTRIES_AT_ONCE, LOOK_AGAIN_SECONDS, Feed, Feeds
from services.gateway.settings import Settings
from shared.cache.contract import Position, Report, ReportKind, StreamEntry
from shared.cache.memory import MemoryCache
from shared.cache.memory_streams import MemoryStreams
from shared.clock import ManualClock
from shared.config import Secret
from shared.errors import CacheUnavailable
from shared.lifecycle import running

SETTINGS = Settings(id_keys=Secret("unused"), instance="gateway-1")


class Counting(MemoryStreams):
    """Counts how often it is read."""

    reads = 0

    async def after(self, id: str, position: Position | None, *, limit: int) -> Sequence[StreamEntry]:
        self.reads += 1
        await asyncio.sleep(0)
        return await super().after(id, position, limit=limit)


@dataclass
class Bench:
    clock: ManualClock
    cache: MemoryCache
    streams: Counting
    feeds: Feeds

    async def report(self, count: int = 1) -> None:
        await self.streams.append("job_1", [Report(ReportKind.OUTPUT, 1, b"1")] * count, turn=1)
        await self.clock.advance(0)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    clock = ManualClock()
    cache = MemoryCache(clock)
    streams = Counting(cache)
    feeds = Feeds(SETTINGS, streams=streams, clock=clock, chance=lambda: 0.5)
    async with running(feeds.listen(), feeds.look_again()):
        await clock.advance(0)
        yield Bench(clock, cache, streams, feeds)


def rung(feed: Feed) -> "asyncio.Future[None]":
    bell: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    feed.bells.add(bell)
    return bell


async def test_whoever_follows_is_told_of_more() -> None:
    async with bench() as b, b.feeds.following("job_1") as feed:
        bell = rung(feed)
        await b.report()
        assert bell.done()
        assert feed.hints == 1
        assert len(await b.feeds.after(feed, None)) == 1


async def test_other_jobs_disturb_nobody() -> None:
    async with bench() as b, b.feeds.following("job_2") as feed:
        bell = rung(feed)
        async with b.feeds.following("job_1"):
            await b.report()
        assert not bell.done()
        bell.cancel()


async def test_many_at_one_place_ask_once() -> None:
    async with bench() as b, b.feeds.following("job_1") as feed:
        await b.report(40)
        entries = await asyncio.gather(*(b.feeds.after(feed, None) for _ in range(100)))
        assert {len(each) for each in entries} == {ENTRIES_AT_ONCE}
        assert b.streams.reads == 1
        await b.feeds.after(feed, entries[0][-1].position)
        assert b.streams.reads == 2
        assert not feed.readings


async def test_one_who_leaves_while_reading_takes_nothing_from_the_others() -> None:
    async with bench() as b, b.feeds.following("job_1") as feed:
        await b.report()
        leaving, staying = (asyncio.create_task(b.feeds.after(feed, None)) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        assert len(await staying) == 1
        with pytest.raises(asyncio.CancelledError):
            await leaving


async def test_the_last_to_leave_leaves_nothing() -> None:
    async with bench() as b:
        async with AsyncExitStack() as stack:
            feeds = {id(await stack.enter_async_context(b.feeds.following("job_1"))) for _ in range(5)}
            assert len(feeds) == 1
        assert not b.feeds._feeds


async def test_a_redis_that_was_lost_is_followed_again() -> None:
    async with bench() as b, b.feeds.following("job_1") as feed:
        b.cache.stop()
        await b.clock.advance(1)
        with pytest.raises(CacheUnavailable):
            await b.feeds.after(feed, None)
        b.cache.start()
        bell = rung(feed)
        await b.clock.advance(1)
        assert bell.done(), "there may be more of everything"
        hints = feed.hints
        await b.report()
        assert feed.hints == hints + 1


async def test_a_flushed_redis_is_noticed_at_the_next_look() -> None:
    async with bench() as b, b.feeds.following("job_1") as feed:
        b.cache.flush()
        await b.report()
        assert feed.hints == 0
        bell = rung(feed)
        await b.clock.advance(LOOK_AGAIN_SECONDS)
        assert bell.done()
        hints = feed.hints
        await b.report()
        assert feed.hints == hints + 1


async def test_following_without_redis_begins_all_the_same() -> None:
    async with bench() as b:
        b.cache.stop()
        async with b.feeds.following("job_1"):
            b.cache.start()
            await b.clock.advance(2)
            await b.report()
