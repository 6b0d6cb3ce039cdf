"""Buckets of rate limits: in this process and on the real server, by the same arithmetic."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from shared.cache.contract import Rates
from shared.cache.gcra import LocalRates
from shared.cache.redis.rates import RedisRates
from shared.clock import SystemClock
from tests.contract.cache.cache_subject import connect


@pytest_asyncio.fixture(params=["local", "redis"])
async def rates(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Rates]:
    async with connect(redis_url) as connection:
        yield LocalRates(SystemClock()) if request.param == "local" else RedisRates(connection)


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


async def test_a_full_bucket_grants_up_to_its_burst(rates: Rates, key: str) -> None:
    first = await rates.lease(key, per_second=1, burst=10, wanted=4)
    rest = await rates.lease(key, per_second=1, burst=10, wanted=100)
    empty = await rates.lease(key, per_second=1, burst=10, wanted=1)
    assert (first.granted, first.left, first.wait_seconds) == (4, 6, 0)
    assert (rest.granted, rest.left) == (6, 0)
    assert (empty.granted, empty.left) == (0, 0)
    assert 0 < empty.wait_seconds <= 1


async def test_the_bucket_fills_again(rates: Rates, key: str) -> None:
    await rates.lease(key, per_second=50, burst=1, wanted=1)
    async with asyncio.timeout(10):
        while not (await rates.lease(key, per_second=50, burst=1, wanted=1)).granted:
            await asyncio.sleep(0)


async def test_buckets_are_apart(rates: Rates, key: str) -> None:
    await rates.lease(key, per_second=1, burst=1, wanted=1)
    assert (await rates.lease(key + "2", per_second=1, burst=1, wanted=1)).granted == 1


async def test_rivals_share_what_there_is(rates: Rates, key: str) -> None:
    grants = await asyncio.gather(*(rates.lease(key, per_second=1, burst=100, wanted=7) for _ in range(50)))
    assert sum(grant.granted for grant in grants) == 100


async def test_a_bucket_in_redis_ends_when_it_is_full(redis_url: str, key: str) -> None:
    async with connect(redis_url) as connection:
        await RedisRates(connection).lease(key, per_second=10, burst=50, wanted=50)
        left = await connection.execute("PTTL", f"rate:{key}")
        assert isinstance(left, int)
        assert 5_000 < left <= 6_000
