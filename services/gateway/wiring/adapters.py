"""What the outside is reached through: Pub/Sub, Firestore and Redis, opened, looked after and closed."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.gateway.settings import Settings
from services.gateway.wiring.statistics import StatisticsParts, statistics_parts
from shared.cache.lane_meter import LaneMeter
from shared.cache.redis.address import Address
from shared.cache.redis.connection import Connection
from shared.cache.redis.lanes import RedisLanes
from shared.clock import SystemClock
from shared.lifecycle import Check
from shared.messaging.contract import BulkPublisher
from shared.messaging.counting import CountingPublisher
from shared.messaging.pubsub import PubSubChannel, PubSubPublisher
from shared.messaging.topics import Names
from shared.storage.firestore import FirestoreDatabase

CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Adapters:
    """What the outside is reached through."""

    broker: PubSubChannel
    publisher: BulkPublisher
    """Counts for `meter`."""
    meter: LaneMeter
    database: FirestoreDatabase
    redis: Connection
    statistics: StatisticsParts


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Adapters]:
    address = Address.parse(settings.redis_url)
    redis = Connection(address, timeout_seconds=settings.cache_seconds, rng=random.Random())  # noqa: S311 - jitter
    database = FirestoreDatabase(settings.project, settings.firestore_emulator or None)
    async with redis, database:
        broker = PubSubChannel.open(settings.project, emulator=settings.pubsub_emulator or None)
        publisher = PubSubPublisher(broker)
        meter = LaneMeter(RedisLanes(redis), settings.instance, SystemClock(), random.random)
        counting = CountingPublisher(publisher, Names(settings.prefix), meter.published)
        try:
            async with statistics_parts(settings, database, counting, SystemClock()) as statistics:
                yield Adapters(broker, counting, meter, database, redis, statistics)
        finally:
            await publisher.aclose(deadline_seconds=CLOSE_SECONDS)
            await broker.aclose()


def checks(adapters: Adapters) -> dict[str, Check]:
    return {
        "broker": adapters.broker.until_ready,
        "store": adapters.database.ping,
        "cache": adapters.redis.ping,
    }
