"""The scheduler's composition root: the only place here that names Pub/Sub, Firestore and Redis."""

import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from services.scheduler.figures import Figures, Gauges
from services.scheduler.push_pauses import PushPauses
from services.scheduler.release import Releaser
from services.scheduler.settings import Settings
from shared.cache.lane_meter import LaneMeter
from shared.cache.redis.address import Address
from shared.cache.redis.connection import Connection
from shared.cache.redis.lanes import RedisLanes
from shared.clock import Clock, SystemClock
from shared.lifecycle import Runtime, Service, running
from shared.messaging.counting import CountingPublisher
from shared.messaging.pubsub import PubSubChannel, PubSubPublisher, PubSubPushSwitch
from shared.messaging.push import push_plan
from shared.messaging.topics import Names
from shared.storage.contract import TIMER_SHARDS
from shared.storage.firestore import FirestoreCatalogue, FirestoreDatabase, FirestoreQueueControls, FirestoreTimers

CLOSE_SECONDS = 1.0


@asynccontextmanager
async def scheduler(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    address = Address.parse(settings.redis_url)
    redis = Connection(address, timeout_seconds=settings.cache_seconds, rng=random.Random())  # noqa: S311 - jitter
    async with FirestoreDatabase(settings.project, settings.firestore_emulator or None) as database, redis:
        clock = SystemClock()
        lanes, names = RedisLanes(redis), Names(settings.prefix)
        meter = LaneMeter(lanes, settings.instance, clock, random.random)
        figures = Figures(
            FirestoreCatalogue(database), FirestoreQueueControls(database), lanes, names, clock, Gauges(runtime.metrics)
        )
        broker = PubSubChannel.open(settings.project, emulator=settings.pubsub_emulator or None)
        publisher = PubSubPublisher(broker)
        releaser = Releaser(
            settings,
            timers=FirestoreTimers(database),
            publisher=CountingPublisher(publisher, names, meter.published),
            clock=clock,
            metrics=runtime.metrics,
            chance=random.random,
        )
        try:
            shards = (releaser.follow(shard) for shard in range(TIMER_SHARDS))
            pauses = _pauses(settings, database, broker, clock)
            async with running(meter.run(), figures.follow(settings.figures_seconds), *pauses, *shards):
                checks = {"broker": broker.until_ready, "store": database.ping}
                yield Service(checks, stop_taking=releaser.stop, drain=releaser.finish)
        finally:
            await publisher.aclose(deadline_seconds=CLOSE_SECONDS)
            await broker.aclose()


def _pauses(
    settings: Settings, database: FirestoreDatabase, broker: PubSubChannel, clock: Clock
) -> list[Coroutine[Any, Any, None]]:
    """What follows the pauses of queues that are pushed; nothing where none is. Raises ConfigError."""
    plan = push_plan(
        address=settings.push_endpoint,
        service_account=settings.push_email,
        audience=settings.push_audience,
        queues=settings.push_queues,
    )
    if plan is None:
        return []
    controls, switch = FirestoreQueueControls(database), PubSubPushSwitch(broker)
    pauses = PushPauses(controls, switch, plan, Names(settings.prefix), clock)
    return [pauses.follow(every_seconds=settings.controls_seconds)]
