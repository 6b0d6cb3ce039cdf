"""What `Flights` and `Landing` promise, on both caches."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import pytest

from shared.cache.contract import Flight, Flights, Hit, Joined, Landing, Led, Result
from shared.cache.memory import MemoryCache
from shared.cache.redis.flights import RedisFlights
from shared.clock import ManualClock
from tests.contract.cache.cache_subject import NO_TTL, connect, state

CACHE_FOR = 100
FLIGHT_TTL = 60


class Cache(Flights, Landing, Protocol):
    """What gateway and worker hold between them."""


@dataclass(frozen=True, slots=True)
class Subject:
    """age: lets so many seconds pass for what is kept of this key."""

    cache: Cache
    other: Cache
    age: Callable[[str, float], Awaitable[None]]


@asynccontextmanager
async def memory_subject() -> AsyncIterator[Subject]:
    clock = ManualClock()
    cache = MemoryCache(clock)

    async def age(_: str, seconds: float) -> None:
        await clock.advance(seconds)

    yield Subject(cache, cache, age)


@asynccontextmanager
async def redis_subject(url: str) -> AsyncIterator[Subject]:
    async with connect(url) as one, connect(url) as two:

        async def age(key: str, seconds: float) -> None:
            for name in (f"result:{{{key}}}", f"flight:{{{key}}}"):
                left = await one.execute("PTTL", name)
                assert left != NO_TTL, f"{name} would stay for ever"
                await one.execute("PEXPIRE", name, left - round(seconds * 1_000))

        yield Subject(RedisFlights(one), RedisFlights(two), age)


@pytest.fixture
async def subject(cache_url: str) -> AsyncIterator[Subject]:
    async with redis_subject(cache_url) if cache_url else memory_subject() as subject:
        yield subject


@pytest.fixture
def key(new_job: Callable[[], str]) -> str:
    """A cache key of this test's own."""
    return f"key-{new_job()}"


def flight(id: str) -> Flight:
    return Flight(id, b'{"a":\n"\r\n\x00\xff"}' + id.encode())


def result(id: str, *, age_seconds: float = 0.0, body: bytes = b"") -> Result:
    return Result(state(id, 4_100, terminal=True, body=body), CACHE_FOR, age_seconds)


async def enter(cache: Flights, key: str, id: str, over: str = "") -> Hit | Joined | Led:
    return await cache.enter(key, flight(id), ttl_seconds=FLIGHT_TTL, over=over)


def hit(found: object, id: str) -> Hit:
    assert isinstance(found, Hit)
    assert found.snapshot.id == id
    return found


# Flights


async def test_the_first_leads_and_others_join_it(subject: Subject, key: str) -> None:
    assert await enter(subject.cache, key, "job_1") == Led()
    assert await enter(subject.other, key, "job_2") == Joined(flight("job_1"), confirmed=False)
    assert await enter(subject.cache, key, "job_3") == Joined(flight("job_1"), confirmed=False)


async def test_keys_do_not_meet(subject: Subject, key: str) -> None:
    await enter(subject.cache, key, "job_1")
    assert await enter(subject.cache, key + "x", "job_2") == Led()


@pytest.mark.parametrize("seed", range(3))
async def test_one_of_many_leads(subject: Subject, new_job: Callable[[], str], seed: int) -> None:
    keys = [f"key-{new_job()}" for _ in range(20)]
    asked = [(key, f"job_{n}") for key in keys for n in range(20)]
    random.Random(seed).shuffle(asked)
    sides = (subject.cache, subject.other)
    found = await asyncio.gather(*(enter(sides[n % 2], key, id) for n, (key, id) in enumerate(asked)))
    for key in keys:
        mine = [(id, each) for (other, id), each in zip(asked, found, strict=True) if other == key]
        leaders = [id for id, each in mine if each == Led()]
        assert len(leaders) == 1
        assert {each.flight.id for _, each in mine if isinstance(each, Joined)} == set(leaders)


async def test_a_confirmed_flight_says_so(subject: Subject, key: str) -> None:
    await enter(subject.cache, key, "job_1")
    await subject.cache.confirm(key, "job_1", ttl_seconds=FLIGHT_TTL)
    await subject.cache.confirm(key, "job_1", ttl_seconds=FLIGHT_TTL)
    assert await enter(subject.other, key, "job_2") == Joined(flight("job_1"), confirmed=True)


async def test_only_its_own_job_confirms_a_flight(subject: Subject, key: str) -> None:
    await enter(subject.cache, key, "job_1")
    await subject.cache.confirm(key, "job_2", ttl_seconds=FLIGHT_TTL)
    assert await enter(subject.other, key, "job_2") == Joined(flight("job_1"), confirmed=False)


async def test_a_late_confirmation_brings_no_flight_back(subject: Subject, key: str) -> None:
    await enter(subject.cache, key, "job_1")
    await subject.cache.forget(key, "job_1")
    await subject.cache.confirm(key, "job_1", ttl_seconds=FLIGHT_TTL)
    assert await enter(subject.other, key, "job_2") == Led()


async def test_an_unconfirmed_flight_ends_and_a_confirmed_one_lasts(subject: Subject, key: str) -> None:
    await enter(subject.cache, key, "job_1")
    await subject.age(key, FLIGHT_TTL + 1)
    assert await enter(subject.cache, key, "job_2") == Led()
    await subject.cache.confirm(key, "job_2", ttl_seconds=10 * FLIGHT_TTL)
    await subject.age(key, 9 * FLIGHT_TTL)
    assert isinstance(await enter(subject.cache, key, "job_3"), Joined)
    await subject.age(key, 2 * FLIGHT_TTL)
    assert await enter(subject.cache, key, "job_3") == Led()


async def test_joining_does_not_keep_a_flight_longer(subject: Subject, key: str) -> None:
    await enter(subject.cache, key, "job_1")
    await subject.age(key, FLIGHT_TTL - 2)
    await enter(subject.cache, key, "job_2")
    await subject.age(key, 3)
    assert await enter(subject.cache, key, "job_2") == Led()


async def test_a_flight_known_to_be_over_is_led_anew_once(subject: Subject, key: str) -> None:
    await enter(subject.cache, key, "job_1")
    assert await enter(subject.cache, key, "job_2", over="job_1") == Led()
    assert await enter(subject.other, key, "job_3", over="job_1") == Joined(flight("job_2"), confirmed=False)


async def test_leading_takes_over_whatever_is_known(subject: Subject, key: str) -> None:
    await enter(subject.cache, key, "job_1")
    await subject.cache.confirm(key, "job_1", ttl_seconds=FLIGHT_TTL)
    await subject.other.lead(key, flight("job_2"), ttl_seconds=FLIGHT_TTL)
    assert await enter(subject.cache, key, "job_3") == Joined(flight("job_2"), confirmed=False)
    await subject.age(key, FLIGHT_TTL + 1)
    assert await enter(subject.cache, key, "job_3") == Led()


# Results


@pytest.mark.parametrize("body", [b"{}", b"\r\n\x00\xff" * 9, b"x" * 600_000], ids=len)
async def test_a_result_is_given_instead_of_a_flight(subject: Subject, key: str, body: bytes) -> None:
    await enter(subject.cache, key, "job_1")
    await subject.other.land(key, result("job_1", body=body))
    found = hit(await enter(subject.cache, key, "job_2"), "job_1")
    assert found.snapshot == result("job_1", body=body).snapshot
    assert found.age_seconds <= 1
    assert CACHE_FOR - 2 <= found.ttl_seconds <= CACHE_FOR


async def test_landing_ends_the_flight(subject: Subject, key: str) -> None:
    await enter(subject.cache, key, "job_1")
    await subject.cache.land(key, result("job_1"))
    await subject.age(key, CACHE_FOR + 1)
    assert await enter(subject.cache, key, "job_2") == Led()


async def test_a_result_ages_and_ends(subject: Subject, key: str) -> None:
    await subject.cache.land(key, result("job_1", age_seconds=10.0))
    await subject.age(key, 30)
    found = hit(await enter(subject.cache, key, "job_2"), "job_1")
    assert 40 <= found.age_seconds <= 42
    assert CACHE_FOR - 42 <= found.ttl_seconds <= CACHE_FOR - 40
    await subject.age(key, CACHE_FOR - 39)
    assert await enter(subject.cache, key, "job_2") == Led()


@pytest.mark.parametrize("age", [CACHE_FOR, CACHE_FOR + 0.001, 1e9])
async def test_a_result_told_too_late_is_not_kept(subject: Subject, key: str, age: float) -> None:
    await enter(subject.cache, key, "job_1")
    await subject.cache.land(key, result("job_1", age_seconds=age))
    assert await enter(subject.cache, key, "job_2") == Led()


async def test_landing_again_does_not_keep_it_longer(subject: Subject, key: str) -> None:
    await enter(subject.cache, key, "job_1")
    await subject.cache.land(key, result("job_1"))
    await subject.age(key, CACHE_FOR - 10)
    await subject.cache.land(key, result("job_1", age_seconds=CACHE_FOR - 10.0))
    await subject.age(key, 11)
    assert await enter(subject.cache, key, "job_2") == Led()


async def test_a_result_without_its_flight_is_kept_where_there_is_none(subject: Subject, key: str) -> None:
    await subject.cache.land(key, result("job_1"))
    hit(await enter(subject.cache, key, "job_2"), "job_1")


async def test_a_job_whose_flight_was_taken_over_replaces_nothing(subject: Subject, key: str) -> None:
    await enter(subject.cache, key, "job_1")
    await subject.cache.lead(key, flight("job_2"), ttl_seconds=FLIGHT_TTL)
    await subject.cache.land(key, result("job_2"))
    await subject.cache.land(key, result("job_1"))
    hit(await enter(subject.cache, key, "job_3"), "job_2")


async def test_a_refresh_replaces_the_result(subject: Subject, key: str) -> None:
    await enter(subject.cache, key, "job_1")
    await subject.cache.land(key, result("job_1"))
    await subject.cache.lead(key, flight("job_2"), ttl_seconds=FLIGHT_TTL)
    hit(await enter(subject.cache, key, "job_3"), "job_1")
    await subject.cache.land(key, result("job_2"))
    hit(await enter(subject.cache, key, "job_3"), "job_2")


async def test_landing_leaves_the_flight_of_another(subject: Subject, key: str) -> None:
    await enter(subject.cache, key, "job_1")
    await subject.cache.lead(key, flight("job_2"), ttl_seconds=FLIGHT_TTL)
    await subject.cache.land(key, result("job_1", age_seconds=CACHE_FOR))
    await subject.cache.forget(key, "job_1")
    assert await enter(subject.cache, key, "job_3") == Joined(flight("job_2"), confirmed=False)


# Forgetting


async def test_forgetting_ends_the_flight(subject: Subject, key: str) -> None:
    await enter(subject.cache, key, "job_1")
    await subject.other.forget(key, "job_1")
    assert await enter(subject.cache, key, "job_2") == Led()


async def test_forgetting_drops_the_result_of_that_job_alone(subject: Subject, key: str) -> None:
    await subject.cache.land(key, result("job_1"))
    await subject.cache.forget(key, "job_2")
    hit(await enter(subject.cache, key, "job_3"), "job_1")
    await subject.cache.forget(key, "job_1")
    assert await enter(subject.cache, key, "job_3") == Led()


async def test_forgetting_what_is_not_there_is_nothing(subject: Subject, key: str) -> None:
    await subject.cache.forget(key, "job_1")
    assert await enter(subject.cache, key, "job_1") == Led()


# What only Redis can hold

MALFORMED = [b"", b"1", b"1U", b"2U job_1\n{}", b"1X job_1\n{}", b"1U job_1", b"2 100 job_1\n10000000000004100T{}"]


@pytest.mark.parametrize("value", [*MALFORMED, b"1 100 job_1\n1410T{}", b"1 x job_1\n10000000000004100T{}"])
@pytest.mark.parametrize("kind", ["result", "flight"])
async def test_what_cannot_be_read_is_nothing(redis_url: str, key: str, kind: str, value: bytes) -> None:
    async with connect(redis_url) as connection:
        await connection.execute("SET", f"{kind}:{{{key}}}", value, "EX", FLIGHT_TTL)
        flights = RedisFlights(connection)
        assert await enter(flights, key, "job_2") == Led()
        await flights.land(key, result("job_2"))
        await flights.forget(key, "job_2")


async def test_a_server_that_forgot_its_scripts_is_given_them_again(redis_url: str, key: str) -> None:
    async with connect(redis_url) as connection:
        flights = RedisFlights(connection)
        await enter(flights, key, "job_1")
        await connection.execute("SCRIPT", "FLUSH")
        assert await enter(flights, key, "job_2") == Joined(flight("job_1"), confirmed=False)
