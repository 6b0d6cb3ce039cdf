"""Letting everyone know what this gateway has made of a batch, once the store knows.

The cache has the waiting clients told, as it does for jobs; the aggregator is told by an event. Whoever does not hear
looks into the document: the one when its waiter looks again, the other at the batch's deadline at the latest.
"""

from contextlib import suppress
from typing import Any

from services.gateway.http.problems import unavailable
from services.gateway.settings import Settings
from shared.cache.contract import Teller
from shared.errors import CacheUnavailable, Overloaded, Unavailable
from shared.messaging.contract import Message, Publisher
from shared.messaging.topics import Names
from shared.models.batch import Batch
from shared.models.batch_public import batch_snapshot, cancel_event, sealed_event
from shared.models.event import Event
from shared.models.public import Snapshot


class BatchTelling:
    def __init__(self, settings: Settings, *, teller: Teller, publisher: Publisher) -> None:
        self._topic = Names(settings.prefix).events
        self._publish_seconds = settings.publish_seconds
        self._teller = teller
        self._publisher = publisher

    async def sealed(self, batch: Batch) -> Snapshot:
        """Raises Problem 503 when the aggregator could not be told: sending the batch again does it."""
        return await self._tell(batch, sealed_event(batch, source="gateway"), accepted="unknown")

    async def cancel_requested(self, batch: Batch) -> Snapshot:
        """Raises as `sealed`."""
        return await self._tell(batch, cancel_event(batch, source="gateway"))

    async def shown(self, batch: Batch) -> Snapshot:
        """Tell the cache alone."""
        state = batch_snapshot(batch)
        with suppress(CacheUnavailable, Overloaded):
            await self._teller.tell(state)
        return state

    async def _tell(self, batch: Batch, event: Event, **members: Any) -> Snapshot:
        message = Message(event.encode(), event.attributes)
        try:
            await self._publisher.publish(self._topic, message, timeout_seconds=self._publish_seconds)
        except (Unavailable, Overloaded):
            raise unavailable("It is written, and not everyone could be told. Send it again.", **members) from None
        return await self.shown(batch)
