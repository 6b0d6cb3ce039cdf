"""Schedulers on one store and one topic, in memory, with a clock that tests move."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from services.scheduler.release import Releaser
from services.scheduler.settings import Settings
from shared.clock import ManualClock
from shared.config import Secret
from shared.errors import SluiceError
from shared.messaging.contract import Message
from shared.storage.contract import TIMER_SHARDS, Timer, Version, WriteResult
from shared.storage.memory import MemoryDatabase, MemoryTimers
from shared.storage.memory_leases import MemoryShardLeases
from shared.storage.shard_leases import TIMERS, Allotment, Term
from shared.telemetry.metrics import Metrics
from shared.tenure.tenure import Tenure

SETTINGS: Final = Settings(id_keys=Secret("unused"), page=10, most_taken=1_000)
LEASE_SECONDS: Final = SETTINGS.shard_lease_seconds
EVERY_SHARD: Final = frozenset(range(TIMER_SHARDS))


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

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.came]


class Wire(MemoryShardLeases):
    """The leases as one scheduler reaches them: its process can stand still, and answers can be late or lost."""

    def __init__(self, database: MemoryDatabase) -> None:
        super().__init__(database, TIMERS)
        self.moving = asyncio.Event()
        self.moving.set()
        self.answering = asyncio.Event()
        self.answering.set()
        self.lost: SluiceError | None = None
        """Raised after each write that is applied."""

    async def renew(self, term: Term, held: Version | None) -> WriteResult:
        await self.moving.wait()
        result = await super().renew(term, held)
        if self.lost:
            raise self.lost
        return result

    async def allot(self, allotment: Allotment, held: Version | None) -> WriteResult:
        await self.moving.wait()
        result = await super().allot(allotment, held)
        await self.answering.wait()
        if self.lost:
            raise self.lost
        return result


@dataclass
class Scheduler:
    wire: Wire
    tenure: Tenure
    releaser: Releaser
    tasks: list["asyncio.Task[None]"]

    async def kill(self) -> None:
        """As SIGKILL: nothing is handed over."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def drain(self) -> None:
        await self.releaser.stop()
        await self.releaser.finish(1)
        await self.tenure.leave()


class Bench:
    """chance: of all that is random in the schedulers."""

    def __init__(self, chance: Callable[[], float] = lambda: 0.5) -> None:
        self.clock = ManualClock()
        self.database = MemoryDatabase(self.clock)
        self.timers = MemoryTimers(self.database)
        self.topic = Topic(self.clock)
        self.schedulers: list[Scheduler] = []
        self._chance = chance
        self._words = itertools.count()

    def start(self, *, shards: Callable[[], frozenset[int]] | None = None) -> Scheduler:
        """shards: what it has, where that is not to be found out."""
        wire, name = Wire(self.database), f"scheduler-{len(self.schedulers)}"
        tenure = Tenure(
            name,
            wire,
            self.clock,
            shards=TIMER_SHARDS,
            lease_seconds=LEASE_SECONDS,
            draw_term=lambda: f"{name}-{next(self._words)}",
            chance=self._chance,
        )
        releaser = Releaser(
            SETTINGS,
            timers=MemoryTimers(self.database),
            publisher=self.topic,
            shards=shards or (lambda: tenure.shards),
            clock=self.clock,
            metrics=Metrics(),
            chance=self._chance,
        )
        work = [releaser.run()] if shards else [tenure.run(), releaser.run()]
        made = Scheduler(wire, tenure, releaser, [asyncio.create_task(each) for each in work])
        self.schedulers.append(made)
        return made

    async def add(self, *names: str, in_seconds: float) -> int:
        due = self.clock.now() + round(in_seconds * 1_000)
        for name in names:
            await self.timers.create(Timer(name, due, "topic", name.encode(), {}))
        return due

    @property
    def left(self) -> int:
        """Timers that are not released."""
        return len(self.database.timers.documents)


@asynccontextmanager
async def bench(schedulers: int = 0) -> AsyncIterator[Bench]:
    made = Bench()
    for _ in range(schedulers):
        made.start()
    try:
        yield made
    finally:
        for each in made.schedulers:
            await each.kill()
