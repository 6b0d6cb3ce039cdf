"""Requests a key, a second: several gateways keep a limit to within a block each, with and without Redis."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.access.rates import STOCK_SECONDS, Limit, Limiter
from services.gateway.http.problems import Problem
from services.gateway.settings import Settings
from shared.cache.contract import Grant
from shared.cache.gcra import LocalRates
from shared.clock import ManualClock
from shared.config import Secret
from shared.errors import CacheUnavailable
from shared.models.key import ApiKey

SETTINGS = Settings(id_keys=Secret("unused"), requests_per_second=100, request_burst=200)
KEY = ApiKey("one", "acme", b"", frozenset())


class LostRates:
    async def lease(self, key: str, *, per_second: int, burst: int, wanted: int) -> Grant:
        raise CacheUnavailable("away")


async def admitted(limiter: Limiter, requests: int, key: ApiKey = KEY) -> int:
    count = 0
    for _ in range(requests):
        with suppress(Problem):
            await limiter.admit(key)
            count += 1
    return count


async def test_a_burst_is_admitted_and_no_more() -> None:
    clock = ManualClock()
    assert await admitted(Limiter(SETTINGS, LocalRates(clock), clock), 1_000) == 200


async def test_the_bucket_fills_by_its_rate() -> None:
    clock = ManualClock()
    limiter = Limiter(SETTINGS, LocalRates(clock), clock)
    await admitted(limiter, 1_000)
    await clock.advance(0.5)
    assert await admitted(limiter, 1_000) == 50


async def test_several_gateways_share_a_limit_to_within_a_block_each() -> None:
    clock = ManualClock()
    rates = LocalRates(clock)
    gateways = [Limiter(SETTINGS, rates, clock) for _ in range(4)]
    total = sum(await asyncio.gather(*(admitted(each, 500) for each in gateways)))
    assert total == 200


async def test_a_key_has_its_own_limit() -> None:
    clock = ManualClock()
    limiter = Limiter(SETTINGS, LocalRates(clock), clock)
    small = replace(KEY, id="small", requests_per_second=1, burst=3)
    assert await admitted(limiter, 10, small) == 3
    assert await admitted(limiter, 10) == 10


async def test_limits_hold_while_redis_is_lost() -> None:
    clock = ManualClock()
    assert await admitted(Limiter(SETTINGS, LostRates(), clock), 1_000) == 200


async def test_a_refusal_says_when_to_come_back() -> None:
    clock = ManualClock()
    slow = replace(KEY, requests_per_second=1, burst=1)
    limiter = Limiter(SETTINGS, LocalRates(clock), clock)
    await limiter.admit(slow)
    with pytest.raises(Problem) as refusal:
        await limiter.admit(slow)
    headers = refusal.value.headers
    assert headers["Retry-After"] == "1"
    assert headers["RateLimit-Policy"] == '"key";q=1;w=1'
    assert headers["RateLimit"] == '"key";r=0;t=1'
    await clock.advance(1)
    await limiter.admit(slow)


async def test_tokens_at_hand_cost_no_waiting_and_go_stale() -> None:
    clock = ManualClock()
    limiter = Limiter(SETTINGS, LocalRates(clock), clock)
    assert not limiter.take(KEY)
    await limiter.admit(KEY)
    assert limiter.take(KEY)
    await clock.advance(STOCK_SECONDS)
    assert not limiter.take(KEY)


async def test_requests_at_the_same_moment_lease_once() -> None:
    clock, leases = ManualClock(), 0

    class Counting(LocalRates):
        async def lease(self, key: str, *, per_second: int, burst: int, wanted: int) -> Grant:
            nonlocal leases
            leases += 1
            await asyncio.sleep(0)
            return self.take(key, per_second=per_second, burst=burst, wanted=wanted)

    limiter = Limiter(SETTINGS, Counting(clock), clock)
    await asyncio.gather(*(limiter.admit(KEY) for _ in range(Limit(100, 200).block)))
    assert leases == 1


@given(
    per_second=st.integers(1, 1_000),
    burst=st.integers(1, 1_000),
    steps=st.lists(st.tuples(st.integers(1, 500), st.floats(0, 3)), max_size=30),
)
def test_no_sequence_gets_more_than_the_burst_and_what_filled_since(per_second, burst, steps) -> None:  # type: ignore[no-untyped-def]
    clock = ManualClock()
    rates, granted, elapsed = LocalRates(clock), 0, 0.0
    for wanted, pause in steps:
        grant = rates.take("k", per_second=per_second, burst=burst, wanted=wanted)
        granted += grant.granted
        assert (grant.granted > 0) == (grant.wait_seconds == 0)
        assert granted <= burst + elapsed * per_second + 1e-6
        clock._move(clock.monotonic() + pause)
        elapsed += pause
