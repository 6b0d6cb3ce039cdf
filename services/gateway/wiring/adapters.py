"""What the outside is reached through: Pub/Sub, Firestore and Redis, and what counts on the way there."""

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.gateway.settings import Settings
from services.gateway.wiring.statistics import StatisticsParts, statistics_parts
from shared import connections
from shared.cache.lane_meter import LaneMeter
from shared.cache.redis.connection import Connection
from shared.cache.redis.lanes import RedisLanes
from shared.clock import SystemClock
from shared.lifecycle import Check
from shared.messaging.contract import BulkPublisher
from shared.messaging.counting import CountingPublisher
from shared.messaging.topics import Names
from shared.storage.firestore import FirestoreDatabase


@dataclass(frozen=True, slots=True)
class Adapters:
    """What the outside is reached through."""

    publisher: BulkPublisher
    """Counts for `meter`."""
    meter: LaneMeter
    database: FirestoreDatabase
    redis: Connection
    statistics: StatisticsParts
    checks: Mapping[str, Check]
    """Of what is connected."""


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Adapters]:
    async with (
        connections.redis(settings, timeout_seconds=settings.cache_seconds) as redis,
        connections.firestore(settings) as database,
        connections.pubsub(settings) as pubsub,
    ):
        clock = SystemClock()
        meter = LaneMeter(RedisLanes(redis), settings.instance, clock, random.random)
        counting = CountingPublisher(pubsub.publisher, Names(settings.prefix), meter.published)
        async with statistics_parts(settings, database, counting, clock) as statistics:
            yield Adapters(
                publisher=counting,
                meter=meter,
                database=database,
                redis=redis,
                statistics=statistics,
                checks={"broker": pubsub.channel.until_ready, "store": database.ping, "cache": redis.ping},
            )
