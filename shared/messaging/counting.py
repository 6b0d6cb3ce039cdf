"""A Publisher that says of each jobs topic what it has published. Wrapped around the real one by composition roots.

So whatever publishes jobs is counted alike, and knows nothing of it.
"""

from collections.abc import Callable, Sequence
from functools import cache

from shared.messaging.contract import BulkPublisher, Message
from shared.messaging.topics import Names


class CountingPublisher:
    """published: called with the topic, once the broker has acknowledged a message to it."""

    def __init__(self, publisher: BulkPublisher, names: Names, published: Callable[[str], None]) -> None:
        self._publisher = publisher
        self._is_jobs = cache(names.is_jobs)  # of some topics a queue, asked for each message
        self._published = published

    async def publish(self, topic: str, message: Message, *, timeout_seconds: float) -> None:
        """See `Publisher.publish`."""
        await self._publisher.publish(topic, message, timeout_seconds=timeout_seconds)
        if self._is_jobs(topic):
            self._published(topic)

    async def publish_all(self, topic: str, messages: Sequence[Message], *, timeout_seconds: float) -> None:
        """See `BulkPublisher.publish_all`."""
        await self._publisher.publish_all(topic, messages, timeout_seconds=timeout_seconds)
        if self._is_jobs(topic):
            for _ in messages:
                self._published(topic)
