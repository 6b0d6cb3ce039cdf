"""The scheduler's composition root: the only place here that names Pub/Sub, Firestore and Redis."""

import random
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from services.scheduler.figures import Figures, Gauges
from services.scheduler.push_pauses import PushPauses
from services.scheduler.release import Releaser
from services.scheduler.settings import Settings
from shared import connections
from shared.cache.lane_meter import LaneMeter
from shared.cache.redis.lanes import RedisLanes
from shared.clock import Clock, SystemClock
from shared.lifecycle import Runtime, Service, running
from shared.messaging.counting import CountingPublisher
from shared.messaging.pubsub import PubSubChannel, PubSubPushSwitch
from shared.messaging.push import push_plan
from shared.messaging.topics import Names
from shared.storage.contract import TIMER_SHARDS
from shared.storage.firestore import (
    FirestoreCatalogue,
    FirestoreDatabase,
    FirestoreQueueControls,
    FirestoreShardLeases,
    FirestoreTimers,
)
from shared.storage.shard_leases import TIMERS
from shared.telemetry.metrics import TIMER_SHARDS_HELD
from shared.tenure.tenure import LEAVE_SECONDS, Tenure


@asynccontextmanager
async def scheduler(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    async with (
        connections.redis(settings, timeout_seconds=settings.cache_seconds) as redis,
        connections.firestore(settings) as database,
        connections.pubsub(settings) as pubsub,
    ):
        clock = SystemClock()
        lanes, names = RedisLanes(redis), Names(settings.prefix)
        meter = LaneMeter(lanes, settings.instance, clock, random.random)
        figures = Figures(
            FirestoreCatalogue(database), FirestoreQueueControls(database), lanes, names, clock, Gauges(runtime.metrics)
        )
        tenure = Tenure(
            settings.instance,
            FirestoreShardLeases(database, TIMERS),
            clock,
            shards=TIMER_SHARDS,
            lease_seconds=settings.shard_lease_seconds,
            draw_term=lambda: secrets.token_hex(8),
            chance=random.random,
        )
        runtime.metrics.gauge(TIMER_SHARDS_HELD).set_function(lambda: len(tenure.shards))
        releaser = Releaser(
            settings,
            timers=FirestoreTimers(database),
            publisher=CountingPublisher(pubsub.publisher, names, meter.published),
            shards=lambda: tenure.shards,
            clock=clock,
            metrics=runtime.metrics,
            chance=random.random,
        )

        async def drain(seconds: float) -> None:
            await releaser.finish(max(0.0, seconds - LEAVE_SECONDS))
            await tenure.leave()

        pauses = _pauses(settings, database, pubsub.channel, clock)
        shown = figures.follow(settings.figures_seconds)
        async with running(meter.run(), tenure.run(), releaser.run(), shown, *pauses):
            checks = {"broker": pubsub.channel.until_ready, "store": database.ping}
            yield Service(checks, stop_taking=releaser.stop, drain=drain)


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
