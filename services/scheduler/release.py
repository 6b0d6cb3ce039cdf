"""Releasing timers: publish the message, then delete the timer that was read.

One loop a shard. Publishing before deleting means that a crash in between publishes twice, which the worker's claim
makes harmless; deleting by the version that was read means that a timer written again meanwhile is kept.
"""

import asyncio
import logging
from collections.abc import Callable

from prometheus_client import Counter, Histogram

from services.scheduler.settings import Settings
from shared.clock import MILLISECONDS, Clock
from shared.errors import Overloaded, Refused, Unavailable
from shared.messaging.contract import Message, Publisher
from shared.storage.contract import Stored, Timer, Timers
from shared.telemetry.metrics import TIMER_LAG, TIMERS_RELEASED, Metrics

FINISH_TICK_SECONDS = 0.02

_log = logging.getLogger("sluice.scheduler")


class Releaser:
    """chance: uniform in 0…1, keeps the shards' looks apart."""

    def __init__(
        self,
        settings: Settings,
        *,
        timers: Timers,
        publisher: Publisher,
        clock: Clock,
        metrics: Metrics,
        chance: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._timers = timers
        self._publisher = publisher
        self._clock = clock
        self._released: Counter = metrics.counter(TIMERS_RELEASED)
        self._lag: Histogram = metrics.histogram(TIMER_LAG)
        self._chance = chance
        self._stopping = False
        self._turns = 0

    async def stop(self) -> None:
        """Take no further timers."""
        self._stopping = True

    async def finish(self, seconds: float) -> None:
        """Let what was taken be released, for at most `seconds`; what is left, any scheduler takes."""
        deadline = self._clock.monotonic() + seconds
        while self._turns and self._clock.monotonic() < deadline:
            await self._clock.sleep(FINISH_TICK_SECONDS)

    async def follow(self, shard: int) -> None:
        """Release the timers of `shard` as they fall due, until stopped."""
        while not self._stopping:
            self._turns += 1
            try:
                full = await self._turn(shard)
            except (Unavailable, Overloaded) as fault:
                full = False
                _log.warning("a shard cannot be read", extra={"shard": shard, "fault": type(fault).__name__})
            finally:
                self._turns -= 1
            if not full:
                await self._clock.sleep(self._settings.poll_seconds * (0.75 + 0.5 * self._chance()))

    async def _turn(self, shard: int) -> bool:
        """Release one page; whether there may be another at once."""
        until = self._clock.now() + round(self._settings.horizon_seconds * MILLISECONDS)
        page = await self._timers.due(shard, until=until, limit=self._settings.page)
        released = await asyncio.gather(*(self._release(stored) for stored in page))
        return len(page) == self._settings.page and any(released)

    async def _release(self, stored: Stored[Timer]) -> bool:
        timer = stored.value
        early = (timer.due_at - self._clock.now()) / MILLISECONDS
        if early > 0:
            await self._clock.sleep(early)
        try:
            await self._publish(timer)
            await self._timers.delete(timer.id, stored.version)
        except (Unavailable, Overloaded) as fault:
            _log.warning("a timer is put off", extra={"timer": timer.id, "fault": type(fault).__name__})
            return False
        return True

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
