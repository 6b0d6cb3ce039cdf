"""The two caches as what carries the news of running jobs, behind one face."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from shared.cache.contract import (
    CancelCaller,
    CancelCalls,
    Eraser,
    Recent,
    Report,
    ReportKind,
    Snapshots,
    Streams,
    StreamWriter,
    Teller,
)
from shared.cache.memory import MemoryCache
from shared.cache.memory_streams import MemoryCancellations, MemoryRecent, MemoryStreams
from shared.cache.redis.cancellations import RedisCancellations
from shared.cache.redis.keys import follow_key, progress_key, stream_key
from shared.cache.redis.recent import RedisRecent
from shared.cache.redis.snapshots import RedisSnapshots
from shared.cache.redis.streams import RedisStreams
from shared.clock import ManualClock
from tests.contract.cache.cache_subject import NO_TTL, connect


class Cache(Teller, Snapshots, Eraser, Protocol):
    """Snapshots, and their end."""


class BothEnds(StreamWriter, Streams, Protocol):
    """The worker's and the gateway's."""


class Cancellations(CancelCaller, CancelCalls, Protocol):
    """The gateway's and the worker's."""


@dataclass(frozen=True, slots=True)
class News:
    """One cache.

    age: lets so many seconds pass for a job's stream.
    lose: forgets it, as a flush would.
    """

    cache: Cache
    streams: BothEnds
    recent: Recent
    cancellations: Cancellations
    age: Callable[[str, float], Awaitable[None]]
    lose: Callable[[str], Awaitable[None]]


def memory_news() -> News:
    clock = ManualClock()
    cache = MemoryCache(clock)
    streams = MemoryStreams(cache)

    async def age(_: str, seconds: float) -> None:
        await clock.advance(seconds)

    async def lose(id: str) -> None:
        streams.erase(id)

    return News(cache, streams, MemoryRecent(cache), MemoryCancellations(cache), age, lose)


@asynccontextmanager
async def redis_news(url: str) -> AsyncIterator[News]:
    async with connect(url) as one, connect(url) as two:

        async def age(id: str, seconds: float) -> None:
            for key in (stream_key(id), progress_key(id), follow_key(id)):
                left = await one.execute("PTTL", key)
                assert left != NO_TTL, f"{key} would stay for ever"
                await one.execute("PEXPIRE", key, left - round(seconds * 1_000))

        async def lose(id: str) -> None:
            await one.execute("DEL", stream_key(id), progress_key(id), follow_key(id))

        yield News(RedisSnapshots(one), RedisStreams(two), RedisRecent(one), RedisCancellations(two), age, lose)


def output(number: int, size: int = 0, attempt: int = 1) -> Report:
    return Report(ReportKind.OUTPUT, attempt, b'{"n":%d,"x":"%b"}' % (number, b"x" * size))


def progress(done: int, attempt: int = 1) -> Report:
    return Report(ReportKind.PROGRESS, attempt, b'{"done":%d}' % done)
