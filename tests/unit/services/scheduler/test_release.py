"""Releasing timers: at their time, once each, and never forgotten."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from services.scheduler.release import Releaser
from services.scheduler.settings import Settings
from shared.clock import ManualClock
from shared.config import Secret
from shared.errors import BrokerUnavailable, MessageRefused, SluiceError
from shared.lifecycle import running
from shared.messaging.contract import Message
from shared.storage.contract import TIMER_SHARDS, Timer
from shared.storage.memory import MemoryDatabase, MemoryTimers
from shared.telemetry.metrics import Metrics

SETTINGS = Settings(id_keys=Secret("unused"), page=10)


@dataclass
class Topic:
    """Where messages go, and when they came."""

    clock: ManualClock
    came: list[tuple[str, int]] = field(default_factory=list)
    trouble: SluiceError | None = None

    async def publish(self, topic: str, message: Message, *, timeout_seconds: float) -> None:
        await asyncio.sleep(0)
        if self.trouble:
            raise self.trouble
        self.came.append((message.body.decode(), self.clock.now()))


@dataclass
class Bench:
    clock: ManualClock
    database: MemoryDatabase
    timers: MemoryTimers
    topic: Topic
    releaser: Releaser

    async def add(self, *names: str, in_seconds: float) -> int:
        due = self.clock.now() + round(in_seconds * 1_000)
        for name in names:
            await self.timers.create(Timer(name, due, "topic", name.encode(), {}))
        return due

    @property
    def left(self) -> int:
        return len(self.database.timers.documents)


@asynccontextmanager
async def bench(schedulers: int = 1) -> AsyncIterator[Bench]:
    clock = ManualClock()
    database, topic = MemoryDatabase(clock), Topic(clock)
    releasers = [
        Releaser(
            SETTINGS,
            timers=MemoryTimers(database),
            publisher=topic,
            clock=clock,
            metrics=Metrics(),
            chance=lambda: 0.5,
        )
        for _ in range(schedulers)
    ]
    loops = [each.follow(shard) for each in releasers for shard in range(TIMER_SHARDS)]
    async with running(*loops):
        yield Bench(clock, database, MemoryTimers(database), topic, releasers[0])


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
        names = [f"timer-{n}" for n in range(SETTINGS.page * TIMER_SHARDS * 3)]
        await b.add(*names, in_seconds=3)
        await b.clock.advance(8)
        assert sorted(name for name, _ in b.topic.came) == sorted(names)
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


async def test_several_schedulers_lose_nothing() -> None:
    async with bench(schedulers=2) as b:
        names = {f"timer-{n}" for n in range(50)}
        await b.add(*names, in_seconds=1)
        await b.clock.advance(4)
        assert {name for name, _ in b.topic.came} == names
        assert b.left == 0


async def test_what_stops_takes_nothing_further() -> None:
    async with bench() as b:
        await b.releaser.stop()
        await b.clock.advance(2)
        await b.add("one", in_seconds=0)
        await b.clock.advance(5)
        await b.releaser.finish(1)
        assert (b.topic.came, b.left) == ([], 1)
