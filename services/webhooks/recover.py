"""Delivering again what an endpoint has missed since a time: a page of it a message, and the next page's message.

The request is an event on the topic, like all that we do: whoever gets it moves one page back to pending, spread over
time and behind live traffic, then publishes the next page's place, then acknowledges. Twice is harmless: what has been
moved is not there to be moved again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from shared.clock import MILLISECONDS, Clock
from shared.messaging.contract import Message, Publisher
from shared.models.delivery import Delivery
from shared.models.event import Event
from shared.storage.contract import Stored
from shared.storage.webhook_contract import Deliveries, DeliveryPlace, EndpointReader

PAGE: Final = 100


class Recovery:
    """
    topic: of events. rate: deliveries a second of one endpoint.
    chance: uniform in 0…1.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        endpoints: EndpointReader,
        publisher: Publisher,
        topic: str,
        clock: Clock,
        *,
        rate: float,
        publish_seconds: float,
        chance: Callable[[], float],
    ) -> None:
        self._deliveries = deliveries
        self._endpoints = endpoints
        self._publisher = publisher
        self._topic = topic
        self._clock = clock
        self._rate = rate
        self._seconds = publish_seconds
        self._chance = chance

    async def page(self, event: Event) -> None:
        """Move the page that `event` asks for. Raises StoreUnavailable, BrokerUnavailable, Overloaded."""
        asked = event.data
        stored = await self._endpoints.read(asked["id"])
        if stored is None or not stored.value.enabled:
            return  # what it missed stays held
        after = None if asked.get("after") is None else DeliveryPlace(*asked["after"])
        found = await self._deliveries.recoverable(asked["id"], since=asked["since"], after=after, limit=PAGE)
        missed = [each for each in found if each.value.created_at <= asked["until"]]
        place = asked.get("moved", 0)
        await asyncio.gather(*(self._again(each, place + n) for n, each in enumerate(missed)))
        if len(missed) == PAGE:
            last = DeliveryPlace.of(missed[-1].value)
            await self._go_on(event, {"after": [last.created_at, last.id], "moved": place + PAGE})

    async def _again(self, stored: Stored[Delivery], place: int) -> None:
        """Under precondition: who moved it meanwhile has moved it for us."""
        now = self._clock.now()
        due_at = now + round((place + self._chance()) / self._rate * MILLISECONDS)
        await self._deliveries.update(stored.value.again(due_at=due_at, at=now), stored.version)

    async def _go_on(self, event: Event, place: dict[str, object]) -> None:
        following = replace(event, data={**event.data, **place})
        message = Message(following.encode(), following.attributes)
        await self._publisher.publish(self._topic, message, timeout_seconds=self._seconds)
