"""P9: ten thousand timers that fall due at one moment, released by one scheduler.

The timers' messages go to a topic of their own that nobody works on, so that what is measured is the scheduler alone,
on the emulators and beside an idle gateway and worker. A message's publish time is the broker's, on this machine.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deploy.admin.topology import apply
from shared.clock import SystemClock
from shared.messaging.pubsub import PubSubChannel, PubSubSource
from shared.messaging.topics import Subscription, Topology
from shared.storage.contract import TIMER_SHARDS, Timer, Version
from shared.storage.firestore import FirestoreDatabase, FirestoreTimers
from tests.load.bench import meter
from tests.load.histogram import Histogram
from tests.load.results import Quantity, Row, at_most

if TYPE_CHECKING:
    from deploy.local.system import System
    from shared.messaging.contract import Delivery
    from tests.load.bench import Bench

TIMERS: Final = 10_000
AHEAD_SECONDS: Final = 15.0
"""For writing them, before they are due."""
WITHIN_SECONDS: Final = 60.0
"""For the last of them to be seen."""
IDLE_SECONDS: Final = 10.0
BODY: Final = b"x" * 1_000
_AT_ONCE: Final = 500
_PULL: Final = 100
_PULLS: Final = 8

QUANTITIES: Final = (
    Quantity("last_s", f"{TIMERS:,} timers due at one moment: the last is released after", "s", at_most(5.0)),
    Quantity("p50_s", "the same, p50", "s"),
    Quantity("early_s", "the first, before its time", "s", at_most(0.0)),
    Quantity("twice", "timers that were released twice", "", at_most(0)),
    Quantity("cpu", "scheduler, CPU for all of it", "s"),
    Quantity("idle_cpu", "scheduler while nothing is due, CPU a minute", "s"),
)


async def measure(bench: Bench) -> list[Row]:
    row = Row("P9", "Timers due at one moment", QUANTITIES)
    async with bench.system("p9") as system:
        for _ in range(bench.arguments.runs):
            await _run(row, system)
    return [row]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the messages of one run go."""

    topic: str
    subscription: str

    async def make(self, system: System) -> None:
        reading = Subscription(self.subscription, self.topic, 60, 0, 0)
        await apply(
            Topology((self.topic,), (reading,)),
            project=system.options.project,
            emulator=system.backends.pubsub.address,
        )


async def _run(row: Row, system: System) -> None:
    word = secrets.token_hex(4)
    place = _Place(f"timers-{word}", f"timers-{word}.load")
    await place.make(system)
    idle = meter(system)
    await asyncio.sleep(IDLE_SECONDS)
    row.add({"idle_cpu": idle.read()["scheduler"] * 60 / IDLE_SECONDS})
    async with FirestoreDatabase(system.options.project, system.backends.firestore.address) as database:
        timers = FirestoreTimers(database)
        due_at = SystemClock().now() + round(AHEAD_SECONDS * 1_000)
        await _write(timers, place, word, due_at)
        if SystemClock().now() >= due_at:
            row.wrong.append(f"the timers were not written within {AHEAD_SECONDS:.0f} s")
            return
        used = meter(system)
        await _until_gone(timers)
        row.add({"cpu": used.read()["scheduler"]})
    _judge(row, await _published(system, place), due_at)


async def _write(timers: FirestoreTimers, place: _Place, word: str, due_at: int) -> None:
    for start in range(0, TIMERS, _AT_ONCE):
        made = [Timer(f"job_{word}{n:08d}:1", due_at, place.topic, BODY, {}) for n in range(start, start + _AT_ONCE)]
        for result in await asyncio.gather(*map(timers.create, made)):
            assert isinstance(result, Version)


async def _until_gone(timers: FirestoreTimers) -> None:
    """Raises TimeoutError."""
    async with asyncio.timeout(AHEAD_SECONDS + WITHIN_SECONDS):
        while await timers.due(range(TIMER_SHARDS), until=2**45, limit=1):
            await asyncio.sleep(0.5)


async def _published(system: System, place: _Place) -> list[Delivery]:
    """All that came, until nothing does."""
    channel = PubSubChannel.open(system.options.project, emulator=system.backends.pubsub.address)
    source = PubSubSource(channel)
    found: list[Delivery] = []
    ends = time.monotonic() + WITHIN_SECONDS
    try:
        while time.monotonic() < ends:
            pulls = (source.pull(place.subscription, limit=_PULL, wait_seconds=2.0) for _ in range(_PULLS))
            came = [each for pulled in await asyncio.gather(*pulls) for each in pulled]
            await asyncio.gather(*map(source.acknowledge, came))
            found += came
            if not came and len(found) >= TIMERS:
                break
    finally:
        await source.aclose()
        await channel.aclose()
    return found


def _judge(row: Row, came: list[Delivery], due_at: int) -> None:
    messages = {each.message_id: each for each in came}  # one may be delivered twice
    if len(messages) < TIMERS:
        row.wrong.append(f"{TIMERS - len(messages)} timers were never released")
        return
    lags = Histogram()
    for each in messages.values():
        lags.record(max(0, each.published_at - due_at) * 1_000)
    times = [each.published_at for each in messages.values()]
    row.add({"last_s": (max(times) - due_at) / 1e3, "p50_s": lags.percentile(50) / 1e6})
    row.add({"early_s": max(0, due_at - min(times)) / 1e3, "twice": len(messages) - TIMERS})
