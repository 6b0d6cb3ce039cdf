"""Statistics, on every store."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.clock import SystemClock
from shared.models.statistics import Shard, Step, Tally, together
from shared.storage.contract import Conflict, Stored, Version, shard_of
from shared.storage.firestore import FirestoreDatabase, FirestoreStatistics
from shared.storage.memory import MemoryDatabase
from shared.storage.memory_statistics import MemoryStatistics
from shared.storage.statistics import STATISTICS_SHARDS, ShardPlace, Statistics, hour_id
from tests.contract.storage.storage_subject import PATIENT, new_project

HOUR = 3_600_000
AT = 1_750_000_000_000 // HOUR * HOUR
MINE = shard_of("acme", STATISTICS_SHARDS)


@pytest.fixture
async def store(store_address: str) -> AsyncIterator[Statistics]:
    if not store_address:
        yield MemoryStatistics(MemoryDatabase(SystemClock()))
        return
    async with FirestoreDatabase(new_project(), store_address, limits=PATIENT) as database:
        yield FirestoreStatistics(database)


def minute(id: str, number: int = 0, count: int = 1, tenant: str = "acme") -> Shard:
    tally = Tally({"submitted": count, "failed:rejected": 1}, {0: count}, {7: 1, 100: count})
    return Shard(id, tenant, Step.MINUTE, AT + number * 60_000, {"text.stats": tally}, AT + 90 * HOUR)


async def page(store: Statistics, tenant: str = "acme", start: int = AT, end: int = AT + HOUR) -> list[Shard]:
    return list(await store.page(tenant, start=start, end=end, after=None, limit=100))


async def test_what_is_put_is_read_whole(store: Statistics) -> None:
    await store.put(minute("a"))
    assert await page(store) == [minute("a")]
    found = await store.read("a")
    assert found is not None
    assert found.value == minute("a")
    assert await store.read("b") is None


async def test_putting_again_replaces(store: Statistics) -> None:
    await store.put(minute("a"))
    await store.put(minute("a", count=5))
    assert await page(store) == [minute("a", count=5)]


async def test_a_page_has_one_tenants_spans_by_time_from_the_first_behind_a_place(store: Statistics) -> None:
    shards = [minute("b", 2), minute("a", 2), minute("c", 1), minute("d", 60), minute("e", 0)]
    for each in [*shards, minute("f", 1, tenant="rival")]:
        await store.put(each)
    assert [each.id for each in await page(store)] == ["e", "c", "a", "b"]
    first = await store.page("acme", start=AT, end=AT + HOUR, after=None, limit=3)
    rest = await store.page("acme", start=AT, end=AT + HOUR, after=ShardPlace.of(first[-1]), limit=3)
    assert [each.id for each in (*first, *rest)] == ["e", "c", "a", "b"]
    later = await page(store, start=AT + 60_000, end=AT + 120_000)
    assert [each.id for each in later] == ["c"]


async def test_old_minutes_are_those_of_a_shard_before_a_moment(store: Statistics) -> None:
    other = next(name for name in "abcdefghij" if shard_of(name, STATISTICS_SHARDS) != MINE)
    for each in (minute("a", 3), minute("b", 1), minute("c", 61), minute("d", 0, tenant=other)):
        await store.put(each)
    found = await store.old(MINE, AT + HOUR, limit=10)
    assert [each.value.id for each in found] == ["b", "a"]
    assert len(await store.old(MINE, AT + HOUR, limit=1)) == 1


async def summed_up(store: Statistics, minutes: list[Stored[Shard]], held: Version | None = None) -> object:
    tallies = together(each.value.tallies for each in minutes)
    hour = Shard(hour_id("acme", AT), "acme", Step.HOUR, AT, tallies, AT + 90 * HOUR)
    return await store.sum_up(hour, held, minutes)


async def test_summing_up_replaces_the_minutes_by_the_hour(store: Statistics) -> None:
    for each in (minute("a", 1), minute("b", 2), minute("c", 70)):
        await store.put(each)
    minutes = list(await store.old(MINE, AT + HOUR, limit=10))
    assert isinstance(await summed_up(store, minutes), Version)
    [hour] = await page(store)
    assert (hour.step, hour.tallies["text.stats"].counts["submitted"]) == (Step.HOUR, 2)
    assert await store.old(MINE, AT + HOUR, limit=10) == []
    assert [each.id for each in await page(store, end=AT + 2 * HOUR)] == [hour.id, "c"]


async def test_an_hour_that_a_rival_wrote_changes_nothing(store: Statistics) -> None:
    await store.put(minute("a", 1))
    minutes = list(await store.old(MINE, AT + HOUR, limit=10))
    assert isinstance(await summed_up(store, []), Version)
    assert await summed_up(store, minutes) is Conflict.EXISTS
    assert sorted(each.step for each in await page(store)) == [Step.HOUR, Step.MINUTE]
    held = await store.read(hour_id("acme", AT))
    assert held is not None
    assert isinstance(await summed_up(store, minutes, held.version), Version)
    assert [each.step for each in await page(store)] == [Step.HOUR]


async def test_a_minute_that_was_written_since_is_not_lost(store: Statistics) -> None:
    await store.put(minute("a", 1))
    minutes = list(await store.old(MINE, AT + HOUR, limit=10))
    await store.put(minute("a", 1, count=9))
    assert await summed_up(store, minutes) in {Conflict.STALE, Conflict.MISSING}
    assert await page(store) == [minute("a", 1, count=9)]


async def test_of_rivals_that_sum_up_the_same_one_does(store: Statistics) -> None:
    for number in range(5):
        await store.put(minute(f"m{number}", number))
    minutes = list(await store.old(MINE, AT + HOUR, limit=10))
    results = await asyncio.gather(*(summed_up(store, minutes) for _ in range(6)))
    assert sum(isinstance(result, Version) for result in results) == 1
    [hour] = await page(store)
    assert hour.tallies["text.stats"].counts["submitted"] == 5
