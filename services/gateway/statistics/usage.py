"""What this gateway was asked for, by tenant and handler, told to the aggregator now and then: not an event a job.

Best effort and bounded: what is counted here and not told yet is lost with the process. An event that the broker may
not have taken is sent again as it was, under its id. Items of batches are counted by the aggregator, when it hears how
many there are.
"""

import logging
import secrets
from collections import Counter
from typing import Final

from shared.clock import Clock
from shared.errors import BrokerUnavailable, MessageRefused, Overloaded
from shared.messaging.contract import Message, Publisher
from shared.models.event import Event
from shared.models.usage import usage_event

EVERY_SECONDS: Final = 10.0
MOST_ROWS: Final = 2_000
"""Tenants' handlers in one event; more are not counted until it is told."""
PUBLISH_SECONDS: Final = 2.0
LAST_SECONDS: Final = 1.0
"""For telling what is left when the process ends."""

_log = logging.getLogger("sluice.gateway")


class Usage:
    """topic: of events."""

    def __init__(self, publisher: Publisher, topic: str, clock: Clock) -> None:
        self._publisher = publisher
        self._topic = topic
        self._clock = clock
        self._counted: dict[tuple[str, str], Counter[str]] = {}
        self._untold: Event | None = None

    def submitted(self, tenant: str, handler: str, count: int = 1) -> None:
        """So many jobs were accepted."""
        self._count(tenant, handler, "submitted", count)

    def hit(self, tenant: str, handler: str) -> None:
        """A request was answered from the cache."""
        self._count(tenant, handler, "cache_hits", 1)

    async def run(self) -> None:
        """Tell every now and then, until cancelled."""
        while True:
            await self._clock.sleep(EVERY_SECONDS)
            await self.tell(PUBLISH_SECONDS)

    async def aclose(self) -> None:
        """Tell what is left."""
        await self.tell(LAST_SECONDS)

    async def tell(self, seconds: float) -> None:
        """Publish what was counted since the last time; what was not taken then goes first."""
        for _ in range(2):
            if self._untold is None:
                self._untold = self._taken()
            if self._untold is None or not await self._published(self._untold, seconds):
                return
            self._untold = None

    async def _published(self, event: Event, seconds: float) -> bool:
        try:
            await self._publisher.publish(
                self._topic, Message(event.encode(), event.attributes), timeout_seconds=seconds
            )
        except (BrokerUnavailable, Overloaded) as fault:
            _log.debug("usage was not told", extra={"fault": type(fault).__name__})
            return False
        except MessageRefused:
            _log.error("usage cannot be told", extra={"rows": len(event.data["counted"])})
        return True

    def _taken(self) -> Event | None:
        if not self._counted:
            return None
        counted, self._counted = self._counted, {}
        return usage_event(secrets.token_hex(12), counted, at=self._clock.now())

    def _count(self, tenant: str, handler: str, name: str, count: int) -> None:
        row = self._counted.get((tenant, handler))
        if row is None:
            if len(self._counted) >= MOST_ROWS:
                return
            row = self._counted[tenant, handler] = Counter()
        row[name] += count
