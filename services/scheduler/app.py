"""The scheduler's composition root: the only place here that names Pub/Sub and Firestore."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.scheduler.release import Releaser
from services.scheduler.settings import Settings
from shared.clock import SystemClock
from shared.lifecycle import Runtime, Service, running
from shared.messaging.pubsub import PubSubChannel, PubSubPublisher
from shared.storage.contract import TIMER_SHARDS
from shared.storage.firestore import FirestoreDatabase, FirestoreTimers

CLOSE_SECONDS = 1.0


@asynccontextmanager
async def scheduler(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    async with FirestoreDatabase(settings.project, settings.firestore_emulator or None) as database:
        broker = PubSubChannel.open(settings.project, emulator=settings.pubsub_emulator or None)
        publisher = PubSubPublisher(broker)
        releaser = Releaser(
            settings,
            timers=FirestoreTimers(database),
            publisher=publisher,
            clock=SystemClock(),
            metrics=runtime.metrics,
            chance=random.random,
        )
        try:
            async with running(*(releaser.follow(shard) for shard in range(TIMER_SHARDS))):
                checks = {"broker": broker.until_ready, "store": database.ping}
                yield Service(checks, stop_taking=releaser.stop, drain=releaser.finish)
        finally:
            await publisher.aclose(deadline_seconds=CLOSE_SECONDS)
            await broker.aclose()
