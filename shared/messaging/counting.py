"""A Publisher that says of each jobs topic what it has published. Wrapped around the real one by composition roots.

So whatever publishes jobs is counted alike, and knows nothing of it.
"""

from collections.abc import Callable

from shared.messaging.contract import Message, Publisher
from shared.messaging.topics import Names


class CountingPublisher:
    """published: called with the topic, once the broker has acknowledged a message to it."""

    def __init__(self, publisher: Publisher, names: Names, published: Callable[[str], None]) -> None:
        self._publisher = publisher
        self._names = names
        self._published = published

    async def publish(self, topic: str, message: Message, *, timeout_seconds: float) -> None:
        """See `Publisher.publish`."""
        await self._publisher.publish(topic, message, timeout_seconds=timeout_seconds)
        if self._names.is_jobs(topic):
            self._published(topic)
