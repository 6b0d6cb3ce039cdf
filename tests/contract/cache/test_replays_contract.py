"""What `Replays` promises, on both caches."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from shared.cache.contract import Replay, Replays
from shared.cache.lifetimes import REPLAY_TTL_SECONDS
from shared.cache.memory import MemoryCache
from shared.cache.redis.replays import RedisReplays
from shared.clock import ManualClock
from tests.contract.cache.cache_subject import connect

REPLAY = Replay("job_1", "f" * 64)


@dataclass(frozen=True, slots=True)
class Subject:
    """age: lets so many seconds pass for this hash."""

    cache: Replays
    other: Replays
    age: Callable[[str, float], Awaitable[None]]


@pytest.fixture
async def subject(cache_url: str) -> AsyncIterator[Subject]:
    if not cache_url:
        clock = ManualClock()
        cache = MemoryCache(clock)
        yield Subject(cache, cache, lambda _, seconds: clock.advance(seconds))
        return
    async with connect(cache_url) as one, connect(cache_url) as two:

        async def age(hash: str, seconds: float) -> None:
            left = await one.execute("PTTL", f"idem:{hash}")
            await one.execute("PEXPIRE", f"idem:{hash}", left - round(seconds * 1_000))

        yield Subject(RedisReplays(one), RedisReplays(two), age)


async def test_what_nobody_remembers_is_nothing(subject: Subject, job: str) -> None:
    assert await subject.cache.recall(job) is None


async def test_what_is_remembered_is_recalled_for_its_time(subject: Subject, job: str) -> None:
    await subject.cache.remember(job, REPLAY, ttl_seconds=REPLAY_TTL_SECONDS)
    assert await subject.other.recall(job) == REPLAY
    assert await subject.other.recall(job + "x") is None
    await subject.age(job, REPLAY_TTL_SECONDS - 2)
    assert await subject.cache.recall(job) == REPLAY
    await subject.age(job, 3)
    assert await subject.cache.recall(job) is None


async def test_remembering_again_replaces(subject: Subject, job: str) -> None:
    await subject.cache.remember(job, REPLAY, ttl_seconds=5)
    await subject.cache.remember(job, Replay("job_2", "e" * 64), ttl_seconds=5)
    assert await subject.cache.recall(job) == Replay("job_2", "e" * 64)


@pytest.mark.parametrize("value", [b"", b"1", b"2 f job_1", b"1 f", b"1 f job_1 x", b"\xff"])
async def test_what_cannot_be_read_is_nothing(redis_url: str, job: str, value: bytes) -> None:
    async with connect(redis_url) as connection:
        await connection.execute("SET", f"idem:{job}", value, "EX", 5)
        assert await RedisReplays(connection).recall(job) is None
