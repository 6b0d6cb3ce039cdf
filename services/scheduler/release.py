"""Releasing timers: publish the message, then delete the timer that was read.

One look at a time, at all shards that this scheduler has (`tenure`), takes what is due now or within a moment; each
timer then waits for its time by itself. Publishing before deleting means that a crash in between publishes twice, which
the worker's claim makes harmless; deleting by the version that was read means that a timer written again meanwhile is
kept. While nothing falls due the looks get rarer.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from prometheus_client import Counter, Histogram

from services.scheduler.settings import Settings
from shared.clock import MILLISECONDS, Clock
from shared.errors import Overloaded, Refused, Unavailable
from shared.messaging.contract import Message, Publisher
from shared.storage.contract import DuePlace, Stored, Timer, Timers
from shared.telemetry.metrics import TIMER_LAG, TIMERS_RELEASED, Metrics

FINISH_TICK_SECONDS = 0.02

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
        self._behind: DuePlace | None = None
        self._awake_until = 0.0
        self._taken: set[str] = set()
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
                try:
                    goes_on = await self._look(group)
                except (Unavailable, Overloaded) as fault:
                    goes_on = False
                    _log.warning("the timers cannot be read", extra={"fault": type(fault).__name__})
                if not goes_on:
                    self._behind = None
                    await self._clock.sleep(self._pause())

    def _pause(self) -> float:
        awake = self._clock.monotonic() < self._awake_until
        pause = self._settings.poll_seconds if awake else self._settings.idle_poll_seconds
        return pause * (0.75 + 0.25 * self._chance())

    async def _look(self, group: asyncio.TaskGroup) -> bool:
        """Take one page; whether to go on behind it at once."""
        shards = self._shards()
        if not shards:
            return False
        await self._until_room()
        until = self._clock.now() + round(self._settings.horizon_seconds * MILLISECONDS)
        page = await self._timers.due(shards, until=until, limit=self._settings.page, after=self._behind)
        if self._stopping or not page:
            return False
        self._awake_until = self._clock.monotonic() + self._settings.awake_seconds
        self._behind = DuePlace.of(page[-1].value)
        self._take(page, group)
        return len(page) == self._settings.page

    async def _until_room(self) -> None:
        while len(self._taken) > self._settings.most_taken - self._settings.page:
            self._room.clear()
            await self._room.wait()

    def _take(self, page: Sequence[Stored[Timer]], group: asyncio.TaskGroup) -> None:
        """All but those that an earlier look has taken, and that are not deleted yet."""
        for stored in page:
            if stored.value.id not in self._taken:
                self._taken.add(stored.value.id)
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
            self._taken.discard(timer.id)
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
