"""The two caches that the contract suite runs on, behind one face, with time that a test can let pass."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from shared.cache.contract import Snapshots, Teller
from shared.cache.memory import MemoryCache
from shared.cache.redis.address import Address
from shared.cache.redis.connection import Connection
from shared.cache.redis.snapshots import RedisSnapshots
from shared.clock import ManualClock
from shared.models.public import Snapshot

PATIENT: Final = 5.0
"""Seconds a call may take where its speed is not what is tested."""

HASTY: Final = 0.05
"""Seconds that a gateway gives a call."""
NO_TTL: Final = -1  # PTTL's answer for a key that never expires


class Cache(Teller, Snapshots, Protocol):
    """What a gateway holds; a worker holds the Teller alone."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One cache as two processes see it.

    age: lets so many seconds pass for everything kept of these jobs.
    """

    cache: Cache
    other: Cache
    age: Callable[[Sequence[str], float], Awaitable[None]]


@asynccontextmanager
async def memory_subject() -> AsyncIterator[Subject]:
    clock = ManualClock()
    cache = MemoryCache(clock)

    async def age(_: Sequence[str], seconds: float) -> None:
        await clock.advance(seconds)

    yield Subject(cache, cache, age)


@asynccontextmanager
async def redis_subject(url: str) -> AsyncIterator[Subject]:
    async with connect(url) as one, connect(url) as two:

        async def age(jobs: Sequence[str], seconds: float) -> None:
            for key in (f"{kind}:{{{job}}}" for job in jobs for kind in ("job", "watch")):
                left = await one.execute("PTTL", key)
                assert left != NO_TTL, f"{key} would stay for ever"
                await one.execute("PEXPIRE", key, left - round(seconds * 1_000))

        yield Subject(RedisSnapshots(one), RedisSnapshots(two), age)


def connect(url: str, timeout_seconds: float = PATIENT) -> Connection:
    """A connection to enter."""
    return Connection(Address.parse(url), timeout_seconds=timeout_seconds, rng=random.Random(7))


def state(job: str, order: int, *, terminal: bool = False, body: bytes = b"") -> Snapshot:
    """A snapshot whose body tells job and order apart from others."""
    return Snapshot(job, order, terminal, body or b'{"id":"%b","order":%d}' % (job.encode(), order))
