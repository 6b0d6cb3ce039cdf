"""Telling operators of endpoints in trouble: events of our own, which come back to us like any other.

Published before the state that they tell of is written, under an id that the state determines: a crash in between tells
again, under the same id, and nothing is kept quiet.
"""

from shared.clock import Clock
from shared.messaging.contract import Message, Publisher
from shared.models.delivery import Delivery
from shared.models.event import Event
from shared.models.webhook import DISABLED, EXHAUSTED, DisabledBy, Endpoint, Health


class Telling:
    """topic: of events."""

    def __init__(self, publisher: Publisher, topic: str, clock: Clock, *, publish_seconds: float) -> None:
        self._publisher = publisher
        self._topic = topic
        self._clock = clock
        self._seconds = publish_seconds

    async def exhausted(self, delivery: Delivery) -> None:
        """All attempts failed. Raises BrokerUnavailable, Overloaded, MessageRefused."""
        if delivery.type in {DISABLED, EXHAUSTED}:
            return  # trouble with telling of trouble ends here
        data = {
            "id": delivery.endpoint,
            "delivery": delivery.id,
            "message_id": delivery.message,
            "type": delivery.type,
            "subject": delivery.subject,
            "attempted": delivery.attempted,
        }
        await self._publish(f"{delivery.id}:{EXHAUSTED}:{delivery.attempted}", EXHAUSTED, delivery.tenant, data)

    async def disabled(self, endpoint: Endpoint, by: DisabledBy, health: Health) -> None:
        """Raises as `exhausted`."""
        data = {"id": endpoint.id, "disabled_by": by, "failures": health.failures}
        await self._publish(f"{endpoint.id}:{DISABLED}:{health.failing_since}", DISABLED, endpoint.tenant, data)

    async def _publish(self, id: str, type: str, tenant: str, data: dict[str, object]) -> None:
        event = Event(id, type, "/sluice/webhooks", self._clock.now(), tenant, None, data)
        message = Message(event.encode(), event.attributes)
        await self._publisher.publish(self._topic, message, timeout_seconds=self._seconds)
