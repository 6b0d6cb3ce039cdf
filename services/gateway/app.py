"""The gateway's composition root: the only place here that names Pub/Sub, Firestore and Redis.

Builds adapters, then what uses them, then the server, and closes in reverse.
"""

import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from services.gateway.aside import Aside
from services.gateway.auth import Authenticator
from services.gateway.edge import Edge, RequestIds
from services.gateway.finished import Finished
from services.gateway.handlers import Handlers
from services.gateway.hot import HotLane
from services.gateway.idempotency import Idempotency
from services.gateway.jobs import Jobs
from services.gateway.patience import Patience
from services.gateway.posting import Posting
from services.gateway.rates import Limiter
from services.gateway.routes import Door, mount, table
from services.gateway.server import serving
from services.gateway.settings import Settings
from services.gateway.sharing import Sharing
from services.gateway.shedding import Lateness
from services.gateway.status import Statuses
from services.gateway.submit import Submitter
from services.gateway.waiting import Waiting
from shared.cache.redis.address import Address
from shared.cache.redis.connection import Connection
from shared.cache.redis.flights import RedisFlights
from shared.cache.redis.rates import RedisRates
from shared.cache.redis.replays import RedisReplays
from shared.cache.redis.snapshots import RedisSnapshots
from shared.clock import Clock, SystemClock
from shared.ids import IdKeys, Ids
from shared.lifecycle import Check, Runtime, Service, running
from shared.messaging.pubsub import PubSubChannel, PubSubPublisher
from shared.models.job import Retention
from shared.storage.firestore import (
    FirestoreCatalogue,
    FirestoreDatabase,
    FirestoreIdempotency,
    FirestoreJobs,
    FirestoreKeys,
)
from shared.telemetry.metrics import CACHE_ANSWERS, HTTP_HELD

CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Adapters:
    """What the outside is reached through."""

    broker: PubSubChannel
    publisher: PubSubPublisher
    database: FirestoreDatabase
    redis: Connection


@dataclass(frozen=True, slots=True)
class _Reading:
    """What tells the state of jobs."""

    clock: Clock
    ids: Ids
    cache: RedisSnapshots
    finished: Finished
    store: FirestoreJobs
    statuses: Statuses
    waiting: Waiting


@asynccontextmanager
async def gateway(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    async with _connected(settings) as adapters:
        reading = _reading(settings, adapters)
        waiting, statuses, clock = reading.waiting, reading.statuses, reading.clock
        authenticator = Authenticator(FirestoreKeys(adapters.database), clock)
        handlers = Handlers(FirestoreCatalogue(adapters.database), clock)
        runtime.metrics.gauge(HTTP_HELD).set_function(lambda: waiting.held)
        lateness, patience = Lateness(reading.clock), Patience(settings.head_seconds, reading.clock)
        limiter = Limiter(settings, RedisRates(adapters.redis), reading.clock)
        edge = Edge(runtime, RequestIds(), lateness)
        app = web.Application(middlewares=[edge.middleware()], client_max_size=settings.max_body_bytes + 1)
        following = (
            waiting.listen(),
            waiting.recheck(),
            handlers.follow(settings.catalogue_seconds),
            lateness.measure(),
            patience.sweep(),
        )
        hot = HotLane(authenticator, limiter, statuses, edge)
        async with _posting(settings, runtime, adapters, reading, handlers) as posting, running(*following):
            mount(
                app,
                table(posting, Jobs(statuses=statuses, waiting=waiting)),
                Door(authenticator, limiter),
                runtime.readiness,
            )
            async with serving(settings, app, edge, hot, patience) as server:

                async def stop_taking() -> None:
                    waiting.release_all()
                    await server.stop_listening()

                yield Service(_checks(adapters), stop_taking, server.finish)


def _reading(settings: Settings, adapters: _Adapters) -> _Reading:
    clock, ids = SystemClock(), Ids(IdKeys.parse(settings.id_keys.reveal()))
    cache, finished = RedisSnapshots(adapters.redis), Finished(settings.finished_bytes)
    retention = Retention(settings.retention_succeeded_seconds, settings.retention_other_seconds)
    store = FirestoreJobs(adapters.database, retention)
    statuses = Statuses(
        settings, ids=ids, finished=finished, cache=cache, store=store, retention=retention, clock=clock
    )
    waiting = Waiting(settings, cache=cache, statuses=statuses, finished=finished, clock=clock, chance=random.random)
    return _Reading(clock, ids, cache, finished, store, statuses, waiting)


@asynccontextmanager
async def _posting(
    settings: Settings, runtime: Runtime, adapters: _Adapters, reading: _Reading, handlers: Handlers
) -> AsyncIterator[Posting]:
    """Ends when all that was being accepted is, and told."""
    submitter = Submitter(
        settings,
        ids=reading.ids,
        handlers=handlers,
        publisher=adapters.publisher,
        schedules=reading.store,
        clock=reading.clock,
    )
    aside = Aside()
    sharing = Sharing(
        flights=RedisFlights(adapters.redis),
        submitter=submitter,
        statuses=reading.statuses,
        finished=reading.finished,
        teller=reading.cache,
        aside=aside,
        answers=runtime.metrics.counter(CACHE_ANSWERS),
        clock=reading.clock,
    )
    idempotency = Idempotency(
        settings,
        requests=FirestoreIdempotency(adapters.database),
        replays=RedisReplays(adapters.redis),
        aside=aside,
        clock=reading.clock,
    )
    async with aclosing(aside), aclosing(sharing):
        yield Posting(
            settings,
            submitter=submitter,
            sharing=sharing,
            idempotency=idempotency,
            statuses=reading.statuses,
            waiting=reading.waiting,
            teller=reading.cache,
            aside=aside,
            clock=reading.clock,
        )


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
