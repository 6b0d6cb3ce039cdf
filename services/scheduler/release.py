"""Releasing timers: publish the message, then delete the timer that was read.

While timers fall due, the shards that this scheduler has (`tenure`) are swept a few times a second, in parts side by
side, for what is due now or within a moment; each timer then waits for its time by itself. While none does, one small
query in a while, for all shards together, looks whether one soon will.

Publishing before deleting means that a crash in between publishes twice, which the worker's claim makes harmless;
deleting by the version that was read means that a timer written again meanwhile is kept.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence

from prometheus_client import Counter, Histogram

from services.scheduler.settings import Settings
from shared.clock import MILLISECONDS, Clock
from shared.errors import Overloaded, Refused, Unavailable
from shared.messaging.contract import Message, Publisher
from shared.storage.contract import DUE_BYTES, DuePlace, Stored, Timer, Timers
from shared.telemetry.metrics import TIMER_LAG, TIMERS_RELEASED, Metrics

FINISH_TICK_SECONDS = 0.02
PARTS = 4
"""Of the shards, swept side by side."""

_log = logging.getLogger("sluice.scheduler")


class Releaser:
    """shards: those that are this scheduler's at this moment. chance: uniform in 0…1, keeps schedulers apart."""

    def __init__(
        self,
        settings: Settings,
        *,
        timers: Timers,
        publisher: Publisher,
        shards: Callable[[], frozenset[int]],
        clock: Clock,
        metrics: Metrics,
        chance: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._timers = timers
        self._publisher = publisher
        self._shards = shards
        self._clock = clock
        self._released: Counter = metrics.counter(TIMERS_RELEASED)
        self._lag: Histogram = metrics.histogram(TIMER_LAG)
        self._chance = chance
        self._stopping = False
        self._awake_until = 0.0
        self._taken: dict[str, int] = {}
        """Timers that are held, each with the bytes of its body."""
        self._room = asyncio.Event()

    async def stop(self) -> None:
        """Take no further timers."""
        self._stopping = True

    async def finish(self, seconds: float) -> None:
        """Let what was taken be released, for at most `seconds`; what is left, any scheduler takes."""
        deadline = self._clock.monotonic() + seconds
        while self._taken and self._clock.monotonic() < deadline:
            await self._clock.sleep(FINISH_TICK_SECONDS)

    async def run(self) -> None:
        """Release timers as they fall due, until stopped."""
        async with asyncio.TaskGroup() as group:
            while not self._stopping:
                shards = self._shards()
                if shards and await self._stirs(shards):
                    parts = [[shard for shard in shards if shard % PARTS == part] for part in range(PARTS)]
                    await asyncio.gather(*(self._sweep(part, group) for part in parts if part))
                await self._clock.sleep(self._pause())

    @property
    def _awake(self) -> bool:
        return self._clock.monotonic() < self._awake_until

    def _wake(self) -> None:
        self._awake_until = self._clock.monotonic() + self._settings.awake_seconds

    def _pause(self) -> float:
        pause = self._settings.poll_seconds if self._awake else self._settings.idle_poll_seconds
        return pause * (0.75 + 0.25 * self._chance())

    async def _stirs(self, shards: Collection[int]) -> bool:
        """Whether a timer is due soon, or some were lately."""
        if not self._awake and await self._due(shards, self._settings.wake_seconds, 1, None):
            self._wake()
        return self._awake

    async def _sweep(self, shards: Collection[int], group: asyncio.TaskGroup) -> None:
        """Take all timers of these shards that are due within the horizon, page by page."""
        after: DuePlace | None = None
        while True:
            await self._until_room()
            page = await self._due(shards, self._settings.horizon_seconds, self._settings.page, after)
            if self._stopping or not page:
                return
            self._wake()
            self._take(page, group)
            if len(page) < self._settings.page and sum(len(each.value.body) for each in page) < DUE_BYTES:
                return
            after = DuePlace.of(page[-1].value)

    async def _due(
        self, shards: Collection[int], within_seconds: float, limit: int, after: DuePlace | None
    ) -> Sequence[Stored[Timer]]:
        """Nothing while the store cannot be read: then the next look finds it."""
        until = self._clock.now() + round(within_seconds * MILLISECONDS)
        try:
            return await self._timers.due(shards, until=until, limit=limit, after=after)
        except (Unavailable, Overloaded) as fault:
            _log.warning("the timers cannot be read", extra={"fault": type(fault).__name__})
            return ()

    async def _until_room(self) -> None:
        while len(self._taken) >= self._settings.most_taken or sum(self._taken.values()) >= self._settings.taken_bytes:
            self._room.clear()
            await self._room.wait()

    def _take(self, page: Sequence[Stored[Timer]], group: asyncio.TaskGroup) -> None:
        """All but those that an earlier look has taken, and that are not deleted yet."""
        for stored in page:
            if stored.value.id not in self._taken:
                self._taken[stored.value.id] = len(stored.value.body)
                group.create_task(self._release(stored))

    async def _release(self, stored: Stored[Timer]) -> None:
        timer = stored.value
        try:
            early = (timer.due_at - self._clock.now()) / MILLISECONDS
            if early > 0:
                await self._clock.sleep(early)
            if timer.shard in self._shards():  # by now it may be another's
                await self._publish(timer)
                await self._timers.delete(timer.id, stored.version)
        except (Unavailable, Overloaded) as fault:
            _log.warning("a timer is put off", extra={"timer": timer.id, "fault": type(fault).__name__})
        finally:
            del self._taken[timer.id]
            self._room.set()

    async def _publish(self, timer: Timer) -> None:
        try:
            await self._publisher.publish(
                timer.topic, Message(timer.body, timer.attributes), timeout_seconds=self._settings.publish_seconds
            )
        except Refused as fault:  # it would be refused for ever: let the job expire, and say so
            _log.error("a timer's message was refused", extra={"timer": timer.id, "fault": type(fault).__name__})
            return
        self._released.inc()
        self._lag.observe(max(0.0, (self._clock.now() - timer.due_at) / MILLISECONDS))
