"""Named points around every effect that a worker has outside of itself, at which a test can have it die or stand still.

A point is armed by a file of its name in a folder that tests and workers share; the first worker to reach it takes the
file away, so it strikes once. `pointed` puts the points into a worker's adapters; `Armoury` is the tests' side.

    claim    the write that makes a job this worker's           finish   the write that ends an attempt
    cache    the telling of a finished job to Redis             event    the same to the events topic
    ack      the acknowledgement of a job's message             (before and after the handler: see `handlers`)
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from services.worker.app import Adapters
from shared.cache.contract import Teller
from shared.messaging.contract import Delivery, Message, Publisher, Source
from shared.models.job import Job, JobStatus
from shared.models.public import Snapshot
from shared.storage.contract import JobClaims, Stored, Timer, Version, WriteResult

_TICK_SECONDS: Final = 0.02


class Deed(StrEnum):
    """What befalls the worker that reaches an armed point."""

    KILL = "kill"
    FREEZE = "freeze"
    """Until somebody thaws it."""
    TERMINATE = "terminate"
    """It is told to end."""
    NOTE = "note"
    """Nothing: it was here."""


_SIGNALS: Final = {Deed.KILL: signal.SIGKILL, Deed.FREEZE: signal.SIGSTOP, Deed.TERMINATE: signal.SIGTERM}

ACTS: Final = ("claim", "finish", "cache", "event", "ack")
POINTS: Final = tuple(f"{act}.{side}" for act in ACTS for side in ("before", "after"))


_PLANTED: Final = "planted"


@dataclass(frozen=True, slots=True)
class Points:
    """The workers' side. folder: where points are armed."""

    folder: Path

    def planted(self) -> str:
        """The name of the bug that a worker which starts now is to have; empty for none."""
        try:
            return (self.folder / _PLANTED).read_text()
        except FileNotFoundError:
            return ""

    def reach(self, point: str) -> None:
        """Returns at once, unless the point is armed."""
        try:
            struck = (self.folder / point).rename(self.folder / f"{point}.struck")
        except FileNotFoundError:
            return
        deed = Deed(struck.read_text())
        _leave_word(struck)
        if deed is not Deed.NOTE:
            os.kill(os.getpid(), _SIGNALS[deed])


def _leave_word(struck: Path) -> None:
    """Which process it was. Renamed into its place, so that who looks sees all of it or nothing."""
    written = struck.with_suffix(".writing")
    written.write_text(str(os.getpid()))
    written.rename(struck.with_suffix(".by"))


@dataclass(frozen=True, slots=True)
class Armoury:
    """The tests' side, of the same folder. points: those that there are."""

    folder: Path
    points: Sequence[str] = POINTS

    def arm(self, point: str, deed: Deed) -> None:
        if point not in self.points:
            raise ValueError(f"there is no point {point!r}")
        (self.folder / f"{point}.by").unlink(missing_ok=True)
        written = self.folder / f"{point}.new"
        written.write_text(deed)
        written.rename(self.folder / point)

    def plant(self, bug: str) -> None:
        """Workers that start from now on have it; none if it is empty."""
        written = self.folder / f"{_PLANTED}.new"
        written.write_text(bug)
        written.rename(self.folder / _PLANTED)

    def disarm(self) -> None:
        """All points."""
        for point in self.points:
            (self.folder / point).unlink(missing_ok=True)

    async def struck(self, point: str, within: float = 30.0) -> int:
        """Wait until a worker has reached the armed point: its process id. Raises TimeoutError."""
        word = self.folder / f"{point}.by"
        async with asyncio.timeout(within):
            while not word.exists():
                await asyncio.sleep(_TICK_SECONDS)
        return int(word.read_text())


def pointed(adapters: Adapters, points: Points) -> Adapters:
    """The same adapters with the points in them."""
    return replace(
        adapters,
        store=PointedStore(adapters.store, points),
        teller=PointedTeller(adapters.teller, points),
        publisher=PointedPublisher(adapters.publisher, points),
        source=PointedSource(adapters.source, points),
    )


class PointedStore:
    def __init__(self, store: JobClaims, points: Points) -> None:
        self._store = store
        self._points = points
        self._claimed: dict[str, str] = {}
        """The fence of each job that this worker has claimed: a write of a running job with it is a renewal."""

    async def read(self, id: str) -> Stored[Job] | None:
        return await self._store.read(id)

    async def create(self, job: Job) -> WriteResult:
        act = self._act(job)
        self._reach(act, "before")
        result = await self._store.create(job)
        self._done(act, job, result)
        return result

    async def update(self, job: Job, held: Version, *, before: Job | None = None) -> WriteResult:
        act = self._act(job)
        self._reach(act, "before")
        result = await self._store.update(job, held, before=before)
        self._done(act, job, result)
        return result

    async def replace(self, job: Job, held: Version) -> WriteResult:
        return await self._store.replace(job, held)

    async def update_with_timer(self, job: Job, held: Version, timer: Timer) -> WriteResult:
        self._reach("finish", "before")
        result = await self._store.update_with_timer(job, held, timer)
        self._done("finish", job, result)
        return result

    def _act(self, job: Job) -> str:
        if job.status is not JobStatus.RUNNING:
            return "finish"
        renewed = self._claimed.get(job.spec.id) == job.fence
        return "" if renewed or not job.fence else "claim"

    def _reach(self, act: str, side: str) -> None:
        if act:
            self._points.reach(f"{act}.{side}")

    def _done(self, act: str, job: Job, result: WriteResult) -> None:
        if not isinstance(result, Version):
            return
        if act == "claim":
            self._claimed[job.spec.id] = job.fence
        elif act == "finish":
            self._claimed.pop(job.spec.id, None)
        self._reach(act, "after")


class PointedTeller:
    def __init__(self, teller: Teller, points: Points) -> None:
        self._teller = teller
        self._points = points

    async def tell(self, snapshot: Snapshot) -> None:
        if not snapshot.terminal:
            await self._teller.tell(snapshot)
            return
        self._points.reach("cache.before")
        await self._teller.tell(snapshot)
        self._points.reach("cache.after")


class PointedPublisher:
    def __init__(self, publisher: Publisher, points: Points, act: str = "event") -> None:
        self._publisher = publisher
        self._points = points
        self._act = act

    async def publish(self, topic: str, message: Message, *, timeout_seconds: float) -> None:
        self._points.reach(f"{self._act}.before")
        await self._publisher.publish(topic, message, timeout_seconds=timeout_seconds)
        self._points.reach(f"{self._act}.after")


class PointedSource:
    def __init__(self, source: Source, points: Points) -> None:
        self._source = source
        self._points = points

    async def pull(self, subscription: str, *, limit: int, wait_seconds: float) -> Sequence[Delivery]:
        return await self._source.pull(subscription, limit=limit, wait_seconds=wait_seconds)

    async def acknowledge(self, delivery: Delivery) -> None:
        self._points.reach("ack.before")
        await self._source.acknowledge(delivery)
        self._points.reach("ack.after")

    async def extend(self, deliveries: Sequence[Delivery], *, seconds: int) -> None:
        await self._source.extend(deliveries, seconds=seconds)
