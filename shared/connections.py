"""Pub/Sub, Firestore and Redis, as a service's settings say where they are: opened, looked after and closed.

Called by composition roots, which enter what their service uses, in the loop that will use it, and build their adapters
on it. Pub/Sub is entered last of the three, for what is still to be published is sent while it closes.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shared.cache.redis.address import Address
from shared.cache.redis.connection import Connection
from shared.config import ServiceSettings
from shared.messaging.pubsub import PubSubChannel, PubSubPublisher, PubSubSource
from shared.storage.firestore import FirestoreDatabase

CLOSE_SECONDS = 1.0
"""For what was given to the publisher."""


@dataclass(frozen=True, slots=True)
class PubSub:
    """One connection, with what publishes and what pulls on it; whichever is left unused costs nothing."""

    channel: PubSubChannel
    publisher: PubSubPublisher
    source: PubSubSource


@asynccontextmanager
async def pubsub(settings: ServiceSettings) -> AsyncIterator[PubSub]:
    """Pub/Sub. Raises google.auth.exceptions.DefaultCredentialsError where there are no credentials."""
    channel = PubSubChannel.open(settings.project, emulator=settings.pubsub_emulator or None)
    publisher, source = PubSubPublisher(channel), PubSubSource(channel)
    try:
        yield PubSub(channel, publisher, source)
    finally:
        await publisher.aclose(deadline_seconds=CLOSE_SECONDS)
        await source.aclose()
        await channel.aclose()


def firestore(settings: ServiceSettings) -> FirestoreDatabase:
    """Firestore, to be entered."""
    return FirestoreDatabase(settings.project, settings.firestore_emulator or None)


def redis(settings: ServiceSettings, *, timeout_seconds: float) -> Connection:
    """Redis, to be entered. timeout_seconds: of one round trip. Raises ConfigError for an address that is none."""
    address = Address.parse(settings.redis_url)
    return Connection(address, timeout_seconds=timeout_seconds, rng=random.Random())  # noqa: S311 - jitter
