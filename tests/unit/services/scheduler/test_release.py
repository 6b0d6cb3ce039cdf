"""Releasing timers: at their time, once each, and never forgotten."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.scheduler.release import PARTS
from shared.errors import BrokerUnavailable, MessageRefused
from shared.storage.contract import TIMER_SHARDS, Timer
from tests.unit.services.scheduler.bench import EVERY_SHARD, SETTINGS, Bench
from tests.unit.services.scheduler.bench import bench as schedulers


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """One scheduler, which has every shard."""
    async with schedulers() as b:
        b.start(shards=lambda: EVERY_SHARD)
        yield b


async def test_a_timer_is_released_at_its_time_and_forgotten() -> None:
    async with bench() as b:
        due = await b.add("one", in_seconds=10)
        await b.clock.advance(9.9)
        assert b.topic.came == []
        await b.clock.advance(0.5)
        assert b.topic.came == [("one", due)]
        assert b.left == 0


async def test_a_timer_written_late_is_released_within_a_second() -> None:
    async with bench() as b:
        await b.clock.advance(5.1)
        due = await b.add("late", in_seconds=-1)
        await b.clock.advance(1)
        [(_, came)] = b.topic.came
        assert 0 <= came - due <= 2_000


async def test_more_than_a_page_is_released_without_waiting_between_pages() -> None:
    async with bench() as b:
        names = [f"timer-{n}" for n in range(SETTINGS.page * TIMER_SHARDS * 4)]
        await b.add(*names, in_seconds=3)
        await b.clock.advance(2.99)
        for _ in range(100):
            await b.clock.advance(0.005)  # each step lets others take a few turns only
        assert sorted(b.topic.names) == sorted(names)
        assert b.left == 0


async def test_a_broker_that_is_away_leaves_the_timer_for_later() -> None:
    async with bench() as b:
        b.topic.trouble = BrokerUnavailable("away")
        await b.add("one", in_seconds=1)
        await b.clock.advance(3)
        assert (b.topic.came, b.left) == ([], 1)
        b.topic.trouble = None
        await b.clock.advance(1)
        assert [name for name, _ in b.topic.came] == ["one"]
        assert b.left == 0


async def test_a_store_that_is_away_is_asked_again() -> None:
    async with bench() as b:
        await b.add("one", in_seconds=1)
        b.database.fail()
        await b.clock.advance(3)
        b.database.heal()
        await b.clock.advance(1)
        assert [name for name, _ in b.topic.came] == ["one"]


async def test_a_message_that_is_refused_does_not_stop_the_shard() -> None:
    async with bench() as b:
        b.topic.trouble = MessageRefused("too large")
        await b.add("bad", in_seconds=1)
        await b.clock.advance(3)
        assert b.left == 0
        b.topic.trouble = None
        await b.add("good", in_seconds=1)
        await b.clock.advance(3)
        assert [name for name, _ in b.topic.came] == ["good"]


async def test_a_shard_that_is_anothers_by_the_time_is_left_to_it() -> None:
    mine = set(EVERY_SHARD)
    async with schedulers() as b:
        b.start(shards=lambda: frozenset(mine))
        await b.add("one", in_seconds=10)
        await b.clock.advance(10 - SETTINGS.horizon_seconds / 2)
        mine.clear()  # while the timer is held for its time
        await b.clock.advance(2)
        assert (b.topic.came, b.left) == ([], 1)
        mine |= EVERY_SHARD
        await b.clock.advance(1)
        assert (b.topic.names, b.left) == (["one"], 0)


async def test_nothing_is_asked_of_the_store_without_a_shard() -> None:
    async with schedulers() as b:
        b.start(shards=frozenset)
        b.database.fail()
        await b.clock.advance(5)
        b.database.heal()
        await b.add("one", in_seconds=0)
        await b.clock.advance(5)
        assert b.left == 1


async def test_looks_get_rarer_while_nothing_is_due_and_come_fast_again() -> None:
    async with bench() as b:
        await b.add("first", in_seconds=0)
        await b.clock.advance(2)
        assert await _looks(b, 10) >= 20 * PARTS
        await b.clock.advance(SETTINGS.awake_seconds)
        assert await _looks(b, 10) <= 15
        due = await b.add("late", in_seconds=0)
        await b.clock.advance(1)
        assert b.topic.came[-1][1] - due < 1_000
        assert await _looks(b, 10) >= 20 * PARTS


async def _looks(b: Bench, seconds: float) -> int:
    """How often the store is asked in so many seconds."""
    asked = 0
    answer = b.database.answer

    async def counted() -> None:
        nonlocal asked
        asked += 1
        await answer()

    b.database.answer = counted  # type: ignore[method-assign]
    await b.clock.advance(seconds)
    b.database.answer = answer  # type: ignore[method-assign]
    return asked


async def test_a_timer_that_was_written_again_meanwhile_is_released_again() -> None:
    async with bench() as b:
        await b.add("one", in_seconds=1)
        await b.clock.advance(0.9)
        b.database.timers.documents["one"] = (
            Timer("one", b.clock.now() + 5_000, "topic", b"again", {}),
            b.database.next_version(),
        )
        await b.clock.advance(8)
        assert b.topic.names == ["one", "again"]
        assert b.left == 0


async def test_what_stops_takes_nothing_further() -> None:
    async with bench() as b:
        await b.schedulers[0].releaser.stop()
        await b.clock.advance(2)
        await b.add("one", in_seconds=0)
        await b.clock.advance(5)
        await b.schedulers[0].releaser.finish(1)
        assert (b.topic.came, b.left) == ([], 1)
