"""What the memory cache does beyond the contract: it can be lost, it forgets, and it does not wait for the slow."""

import asyncio

import pytest

from shared.cache import memory
from shared.cache.lifetimes import LIVE_TTL_SECONDS
from shared.cache.memory import MemoryCache
from shared.clock import ManualClock
from shared.errors import CacheUnavailable
from shared.models.public import Snapshot


def state(order: int, job: str = "job_1") -> Snapshot:
    return Snapshot(job, order, terminal=False, body=b"{}")


async def test_stopped_it_refuses_and_ends_listeners_and_comes_back_empty() -> None:
    cache = MemoryCache(ManualClock())
    async with cache.listen("gw") as heard:
        await cache.watch("gw", ["job_1"])
        await cache.tell(state(1))
        waiting = asyncio.ensure_future(cache.fetch("job_1"))
        assert await waiting == state(1)
        cache.stop()
        for call in (
            cache.ping(),
            cache.fetch("job_1"),
            cache.tell(state(2)),
            cache.watch("gw", ["job_1"]),
            cache.unwatch("gw", "job_1"),
            cache.listen("gw").__aenter__(),
        ):
            with pytest.raises(CacheUnavailable):
                await call
        assert await anext(heard) == state(1), "what had come is heard first"
        with pytest.raises(CacheUnavailable):
            await anext(heard)
    cache.start()
    await cache.ping()
    assert await cache.fetch("job_1") is None
    async with cache.listen("gw") as heard:
        await cache.tell(state(3))
        await cache.watch("gw", ["job_1"])
        await cache.tell(state(4))
        assert await anext(heard) == state(4), "the earlier watch is forgotten"


async def test_a_waiting_listener_is_ended_too() -> None:
    cache = MemoryCache(ManualClock())
    async with cache.listen("gw") as heard:
        waiting = asyncio.ensure_future(anext(heard))
        await asyncio.sleep(0)
        cache.stop()
        with pytest.raises(CacheUnavailable):
            await waiting


async def test_flushed_it_forgets_and_listeners_stay() -> None:
    cache = MemoryCache(ManualClock())
    async with cache.listen("gw") as heard:
        await cache.watch("gw", ["job_1"])
        await cache.tell(state(5))
        cache.flush()
        assert await cache.fetch("job_1") is None
        await cache.tell(state(1))
        await cache.watch("gw", ["job_1"])
        await cache.tell(state(2))
        assert [await anext(heard), await anext(heard)] == [state(5), state(2)]


async def test_a_listener_that_is_too_slow_loses_its_connection() -> None:
    cache = MemoryCache(ManualClock())
    async with cache.listen("gw") as heard:
        await cache.watch("gw", ["job_1"])
        for order in range(memory.MAX_HEARD + 5):
            await cache.tell(state(order))
        for order in range(memory.MAX_HEARD):
            assert await anext(heard) == state(order)
        with pytest.raises(CacheUnavailable):
            await anext(heard)


async def test_what_is_over_takes_no_room() -> None:
    clock = ManualClock()
    cache = MemoryCache(clock)
    for number in range(100):
        await cache.tell(state(4_096, f"job_{number}"))
        await cache.tell(state(4_097, f"job_{number}"))
    await clock.advance(LIVE_TTL_SECONDS)
    await cache.tell(state(1, "job_last"))
    assert len(cache._jobs._entries) == 1
    assert len(cache._jobs._ends) == 1
