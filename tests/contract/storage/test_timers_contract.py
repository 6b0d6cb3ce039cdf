"""Timers, on every store: found when due, in order, in their shard; deleted by whoever read them last."""

import asyncio

import pytest

from shared.errors import DocumentRefused
from shared.storage.contract import DUE_BYTES, TIMER_SHARDS, Conflict, DuePlace, Version, shard_of
from tests.contract.storage.samples import AT, new_timer, timers_of_shard
from tests.contract.storage.storage_subject import Subject

SHARD = 5


async def test_a_timer_is_read_as_it_was_written(subject: Subject) -> None:
    timer = new_timer(due_at=AT + 789, body=b'{"input":"\\u00e4"}')
    version = await subject.timers.create(timer)
    [found] = await subject.timers.due([timer.shard], until=AT + 789, limit=10)
    assert found.value == timer
    assert found.version == version
    assert found.read_at >= found.version.updated_at


async def test_a_timer_is_created_once(subject: Subject) -> None:
    timer = new_timer()
    assert isinstance(await subject.timers.create(timer), Version)
    assert await subject.timers.create(new_timer(timer.id, due_at=AT + 5)) is Conflict.EXISTS
    assert await subject.timers.next_due(timer.shard) == AT


async def test_due_timers_come_earliest_first_up_to_the_limit(subject: Subject) -> None:
    due = [AT + 30, AT, AT + 20, AT + 1, AT + 10]
    ids = timers_of_shard(SHARD, len(due))
    for id, at in zip(ids, due, strict=True):
        await subject.timers.create(new_timer(id, due_at=at))
    found = await subject.timers.due([SHARD], until=AT + 20, limit=10)
    assert [each.value.due_at for each in found] == [AT, AT + 1, AT + 10, AT + 20]
    found = await subject.timers.due([SHARD], until=AT + 20, limit=2)
    assert [each.value.due_at for each in found] == [AT, AT + 1]
    assert await subject.timers.due([SHARD], until=AT - 1, limit=10) == []


async def test_timers_of_several_shards_come_in_one_order_page_by_page(subject: Subject) -> None:
    shards = [2, 7, 15]
    timers = [
        new_timer(id, due_at=AT + n % 5)  # many share their millisecond
        for shard in (*shards, 3)
        for n, id in enumerate(timers_of_shard(shard, 9))
    ]
    await asyncio.gather(*map(subject.timers.create, timers))
    found: list[str] = []
    after = None
    while page := await subject.timers.due(shards, until=AT + 3, limit=4, after=after):
        found += [each.value.id for each in page]
        after = DuePlace.of(page[-1].value)
    wanted = sorted((timer for timer in timers if timer.shard in shards and timer.due_at <= AT + 3), key=DuePlace.of)
    assert found == [timer.id for timer in wanted]


async def test_pages_of_large_timers_are_short_and_miss_none(subject: Subject) -> None:
    ids = timers_of_shard(SHARD, 12)
    for n, id in enumerate(ids):
        await subject.timers.create(new_timer(id, due_at=AT + n, body=b"x" * (DUE_BYTES // 5)))
    found: list[str] = []
    after = None
    while page := await subject.timers.due([SHARD], until=AT + 20, limit=10, after=after):
        assert len(page) <= 6
        found += [each.value.id for each in page]
        after = DuePlace.of(page[-1].value)
    assert found == ids


async def test_a_timer_is_found_in_its_shard_alone(subject: Subject) -> None:
    timers = [new_timer() for _ in range(64)]
    await asyncio.gather(*map(subject.timers.create, timers))
    found = {}
    for shard in range(TIMER_SHARDS):
        for each in await subject.timers.due([shard], until=AT, limit=100):
            found[each.value.id] = shard
    assert found == {timer.id: shard_of(timer.id, TIMER_SHARDS) for timer in timers}
    assert len(set(found.values())) > TIMER_SHARDS / 2


async def test_the_next_due_time_is_known(subject: Subject) -> None:
    assert await subject.timers.next_due(SHARD) is None
    first, second = timers_of_shard(SHARD, 2)
    await subject.timers.create(new_timer(first, due_at=AT + 9_000))
    assert await subject.timers.next_due(SHARD) == AT + 9_000
    await subject.timers.create(new_timer(second, due_at=AT + 4_000))
    assert await subject.timers.next_due(SHARD) == AT + 4_000


async def test_a_timer_is_deleted_by_the_version_that_was_read(subject: Subject) -> None:
    timer = new_timer()
    await subject.timers.create(timer)
    [found] = await subject.timers.due([timer.shard], until=AT, limit=1)
    earlier = Version(found.version.updated_at - 1)
    assert await subject.timers.delete(timer.id, earlier) is Conflict.STALE
    assert await subject.timers.delete(timer.id, found.version) == found.version
    assert await subject.timers.next_due(timer.shard) is None
    assert await subject.timers.delete(timer.id, found.version) in {Conflict.STALE, Conflict.MISSING}


async def test_a_timer_that_was_written_again_survives_an_old_delete(subject: Subject) -> None:
    timer = new_timer()
    first = await subject.timers.create(timer)
    assert isinstance(first, Version)
    await subject.timers.delete(timer.id, first)
    await subject.timers.create(timer)
    assert await subject.timers.delete(timer.id, first) is Conflict.STALE
    assert await subject.timers.next_due(timer.shard) == AT


async def test_a_timer_that_is_too_big_is_refused(subject: Subject) -> None:
    timer = new_timer(body=b"x" * 1_100_000)
    with pytest.raises(DocumentRefused):
        await subject.timers.create(timer)
    assert await subject.timers.next_due(timer.shard) is None


async def test_a_removed_timer_is_gone_and_so_is_one_that_never_was(subject: Subject) -> None:
    timer = new_timer()
    await subject.timers.create(timer)
    for _ in range(2):
        await subject.timers.remove(timer.id)
        assert await subject.timers.next_due(timer.shard) is None
