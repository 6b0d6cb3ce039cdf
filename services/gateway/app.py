"""The gateway's composition root: the only place here that names Pub/Sub, Firestore and Redis.

Builds adapters, then what uses them, then the server, and closes in reverse.
"""

import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from services.gateway.auth import Authenticator
from services.gateway.edge import Edge, RequestIds
from services.gateway.finished import Finished
from services.gateway.handlers import Handlers
from services.gateway.hot import HotLane
from services.gateway.jobs import Jobs
from services.gateway.routes import mount, table
from services.gateway.server import serving
from services.gateway.settings import Settings
from services.gateway.status import Statuses
from services.gateway.submit import Submitter
from services.gateway.waiting import Waiting
from shared.cache.redis.address import Address
from shared.cache.redis.connection import Connection
from shared.cache.redis.snapshots import RedisSnapshots
from shared.clock import SystemClock
from shared.ids import IdKeys, Ids
from shared.lifecycle import Check, Runtime, Service, running
from shared.messaging.pubsub import PubSubChannel, PubSubPublisher
from shared.models.job import Retention
from shared.storage.firestore import (
    FirestoreCatalogue,
    FirestoreDatabase,
    FirestoreJobs,
    FirestoreKeys,
)
from shared.telemetry.metrics import HTTP_HELD

CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Adapters:
    """What the outside is reached through."""

    broker: PubSubChannel
    publisher: PubSubPublisher
    database: FirestoreDatabase
    redis: Connection


@asynccontextmanager
async def gateway(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    async with _connected(settings) as adapters:
        clock, ids = SystemClock(), Ids(IdKeys.parse(settings.id_keys.reveal()))
        cache, finished = RedisSnapshots(adapters.redis), Finished(settings.finished_bytes)
        retention = Retention(settings.retention_succeeded_seconds, settings.retention_other_seconds)
        store = FirestoreJobs(adapters.database, retention)
        authenticator = Authenticator(FirestoreKeys(adapters.database), clock)
        handlers = Handlers(FirestoreCatalogue(adapters.database), clock)
        statuses = Statuses(
            settings, ids=ids, finished=finished, cache=cache, store=store, retention=retention, clock=clock
        )
        waiting = Waiting(
            settings, cache=cache, statuses=statuses, finished=finished, clock=clock, chance=random.random
        )
        submitter = Submitter(
            settings,
            ids=ids,
            handlers=handlers,
            publisher=adapters.publisher,
            schedules=store,
            clock=clock,
        )
        jobs = Jobs(settings, submitter=submitter, statuses=statuses, waiting=waiting, teller=cache, clock=clock)
        runtime.metrics.gauge(HTTP_HELD).set_function(lambda: waiting.held)
        edge = Edge(runtime, RequestIds())
        app = web.Application(middlewares=[edge.middleware()], client_max_size=settings.max_body_bytes + 1)
        mount(app, table(jobs), authenticator, runtime.readiness)
        following = (waiting.listen(), waiting.recheck(), handlers.follow(settings.catalogue_seconds))
        hot = HotLane(authenticator, statuses, edge)
        async with aclosing(jobs), running(*following), serving(settings, app, edge, hot) as server:

            async def stop_taking() -> None:
                waiting.release_all()
                await server.stop_listening()

            yield Service(_checks(adapters), stop_taking, server.finish)


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[_Adapters]:
    address = Address.parse(settings.redis_url)
    redis = Connection(address, timeout_seconds=settings.cache_seconds, rng=random.Random())  # noqa: S311 - jitter
    database = FirestoreDatabase(settings.project, settings.firestore_emulator or None)
    async with redis, database:
        broker = PubSubChannel.open(settings.project, emulator=settings.pubsub_emulator or None)
        publisher = PubSubPublisher(broker)
        try:
            yield _Adapters(broker, publisher, database, redis)
        finally:
            await publisher.aclose(deadline_seconds=CLOSE_SECONDS)
            await broker.aclose()


def _checks(adapters: _Adapters) -> dict[str, Check]:
    return {
        "broker": adapters.broker.until_ready,
        "store": adapters.database.ping,
        "cache": adapters.redis.ping,
    }
