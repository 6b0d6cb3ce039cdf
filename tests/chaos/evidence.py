"""What is left when a run is over: all that was seen, by anybody, of each job. `checker` judges it.

Gathered after healing: the stores are asked directly, past the proxies and the gateways.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from deploy.admin import topology
from shared.cache.redis.encoding import decode
from shared.cache.redis.keys import job_key
from shared.errors import BrokerUnavailable
from shared.messaging.pubsub import PubSubChannel, PubSubSource
from shared.messaging.topics import Names, Subscription, Topology
from shared.models.batch import BatchStatus
from shared.models.event import Event
from shared.models.job import Job
from shared.models.public import Snapshot
from shared.storage.firestore import FirestoreDatabase, FirestoreJobs
from shared.storage.firestore.limits import Limits
from tests.chaos.damage import Damage
from tests.chaos.effects import Effect
from tests.chaos.history import History
from tests.chaos.work import Piece

_AT_ONCE: Final = 500
_TICK_SECONDS: Final = 0.2
_REMEMBERED: Final = 5_000
_BATCH_ENDS: Final = frozenset(f"batch.{status}" for status in BatchStatus if status.terminal)
PATIENT: Final = Limits(deadline_seconds=60.0)
"""Whoever judges waits, however busy the machine is."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event, as the events topic carried it. finished_at: milliseconds since the epoch."""

    type: str
    status: str
    attempt: int
    finished_at: int | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one run. documents: by job, of those that have one. events: by job, in the order heard.

    asked: every piece that clients wanted, by its work.
    """

    history: History
    effects: Sequence[Effect]
    damage: Damage
    asked: Mapping[str, Piece]
    documents: Mapping[str, Job]
    cached: Mapping[str, Snapshot]
    events: Mapping[str, Sequence[Told]]


class Tap:
    """Hears every event of one system, through a subscription of its own."""

    def __init__(self, source: PubSubSource, subscription: str) -> None:
        self._source = source
        self._subscription = subscription
        self.heard: dict[str, list[Told]] = {}
        self.ends: dict[str, list[Event]] = {}
        """By batch, each telling of its end, in the order heard."""
        self.bodies: deque[bytes] = deque(maxlen=_REMEMBERED)
        """Of the last events of any kind."""

    async def listen(self) -> None:
        """Until cancelled."""
        while True:
            try:
                for delivery in await self._source.pull(self._subscription, limit=1_000, wait_seconds=2.0):
                    self.bodies.append(delivery.message.body)
                    self._hear(orjson.loads(delivery.message.body))
                    await self._source.acknowledge(delivery)
            except BrokerUnavailable:
                await asyncio.sleep(_TICK_SECONDS)

    def _hear(self, event: dict[str, Any]) -> None:
        """What is told of the state of a job, or of the end of a batch; there are other things that are told, too."""
        if event["type"] in _BATCH_ENDS:
            end = Event.decode(self.bodies[-1])
            self.ends.setdefault(end.data["id"], []).append(end)
        if not event["type"].startswith("job.") or event["type"] == "job.retried":
            return
        data = event["data"]
        told = Told(event["type"], data["status"], data["attempt"], data["finished_at"])
        self.heard.setdefault(data["id"], []).append(told)


@asynccontextmanager
async def tapped(project: str, prefix: str, pubsub: str) -> AsyncIterator[Tap]:
    """A tap on the events of a system, from now on."""
    names = Names(prefix)
    subscription = Subscription(names.reader(names.events, "tap"), names.events, 60, 1, 60)
    await topology.apply(Topology((names.events,), (subscription,)), project=project, emulator=pubsub)
    channel = PubSubChannel.open(project, emulator=pubsub)
    source = PubSubSource(channel)
    tap = Tap(source, subscription.name)
    listening = asyncio.create_task(tap.listen(), name="tap")
    try:
        yield tap
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await source.aclose()
        await channel.aclose()


async def stored(project: str, firestore: str, ids: Iterable[str]) -> dict[str, Job]:
    """What the store has of these jobs."""
    wanted, found = list(ids), {}
    async with FirestoreDatabase(project, firestore, limits=PATIENT) as database:
        jobs = FirestoreJobs(database)
        for start in range(0, len(wanted), _AT_ONCE):
            piece = wanted[start : start + _AT_ONCE]
            for id, document in zip(piece, await asyncio.gather(*map(jobs.read, piece)), strict=True):
                if document is not None:
                    found[id] = document.value
    return found


async def snapshots(redis_url: str, ids: Iterable[str]) -> dict[str, Snapshot]:
    """What Redis keeps of these jobs."""
    wanted, found = list(ids), {}
    async with Redis.from_url(redis_url) as redis:
        for start in range(0, len(wanted), _AT_ONCE):
            piece = wanted[start : start + _AT_ONCE]
            for id, kept in zip(piece, await redis.mget(map(job_key, piece)), strict=True):
                snapshot = decode(id, kept)
                if snapshot is not None:
                    found[id] = snapshot
    return found


async def until(condition: Callable[[], Awaitable[bool]], within: float) -> bool:
    """Whether it came true in time. Looking takes at most half of the time, however long a look takes."""
    deadline = monotonic() + within
    while True:
        began = monotonic()
        if await condition():
            return True
        if (looked := monotonic()) > deadline:
            return False
        await asyncio.sleep(max(_TICK_SECONDS, looked - began))
