"""The gateway's composition root: the only place here that names Pub/Sub, Firestore and Redis.

Builds adapters, then what uses them, then the server, and closes in reverse.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from services.gateway.access.auth import Authenticator
from services.gateway.access.rates import Limiter
from services.gateway.aside import Aside
from services.gateway.batches.states import AllStates, BatchStates
from services.gateway.catalogue.handlers import Handlers
from services.gateway.catalogue.routes import CatalogueRoutes
from services.gateway.express.admission import Admission
from services.gateway.express.holding import Holding
from services.gateway.express.lane import Express
from services.gateway.express.posts import Posts
from services.gateway.express.reads import Reads
from services.gateway.http.edge import Edge, RequestIds
from services.gateway.http.paging import Cursors
from services.gateway.http.patience import Patience
from services.gateway.http.shedding import Lateness
from services.gateway.jobs.cancel import Cancels, Telling
from services.gateway.jobs.delete import Cleaner, Deletes
from services.gateway.jobs.events import Events
from services.gateway.jobs.explain import Explains
from services.gateway.jobs.feeds import Feeds
from services.gateway.jobs.finished import Finished
from services.gateway.jobs.idempotency import Idempotency
from services.gateway.jobs.listing import Lists
from services.gateway.jobs.posting import Desk, Posting
from services.gateway.jobs.progress import Progress
from services.gateway.jobs.queue_state import QueueStates
from services.gateway.jobs.reading import Jobs
from services.gateway.jobs.replay import Replays
from services.gateway.jobs.sharing import Sharing
from services.gateway.jobs.status import Statuses
from services.gateway.jobs.submit import Submitter
from services.gateway.jobs.waiting import Waiting
from services.gateway.openapi import parts
from services.gateway.openapi.served import Description
from services.gateway.operators.dead_letters import DeadLetterRoutes, Letters
from services.gateway.operators.dead_replay import DeadReplays
from services.gateway.operators.keys import KeyRoutes
from services.gateway.operators.queues import QueueRoutes
from services.gateway.pages.docs import Docs
from services.gateway.pages.problem_pages import ProblemPages
from services.gateway.routes import (
    BatchEndpoints,
    Door,
    JobEndpoints,
    OpenEndpoints,
    OperatorEndpoints,
    batches_table,
    mount,
    open_table,
    operators_table,
    table,
    webhooks_table,
)
from services.gateway.server import serving
from services.gateway.settings import Settings
from services.gateway.wiring.batches import BatchParts, BatchStores, batch_endpoints
from services.gateway.wiring.statistics import StatisticsParts, statistics_parts
from services.gateway.wiring.webhooks import job_hooks, webhook_endpoints
from shared.cache.lane_meter import LaneMeter
from shared.cache.redis.address import Address
from shared.cache.redis.cancellations import RedisCancellations
from shared.cache.redis.connection import Connection
from shared.cache.redis.flights import RedisFlights
from shared.cache.redis.lanes import RedisLanes
from shared.cache.redis.rates import RedisRates
from shared.cache.redis.recent import RedisRecent
from shared.cache.redis.replays import RedisReplays
from shared.cache.redis.snapshots import RedisSnapshots
from shared.cache.redis.streams import RedisStreams
from shared.clock import Clock, SystemClock
from shared.ids import IdKeys, Ids
from shared.lifecycle import Check, Runtime, Service, running
from shared.messaging.contract import BulkPublisher
from shared.messaging.counting import CountingPublisher
from shared.messaging.pubsub import PubSubChannel, PubSubPublisher
from shared.messaging.topics import Names
from shared.models.job import Retention
from shared.storage.firestore import (
    FirestoreCatalogue,
    FirestoreDatabase,
    FirestoreDeadLetters,
    FirestoreIdempotency,
    FirestoreJobLists,
    FirestoreJobs,
    FirestoreKeys,
    FirestoreQueueControls,
    FirestoreTimers,
)
from shared.telemetry.metrics import CACHE_ANSWERS, HTTP_HELD, LOOP_LATENESS, LOOP_STALLS

CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Adapters:
    """What the outside is reached through."""

    broker: PubSubChannel
    publisher: BulkPublisher
    """Counts for `meter`."""
    meter: LaneMeter
    database: FirestoreDatabase
    redis: Connection
    statistics: StatisticsParts


@dataclass(frozen=True, slots=True)
class _Reading:
    """What tells the state of jobs."""

    clock: Clock
    keys: IdKeys
    ids: Ids
    retention: Retention
    cache: RedisSnapshots
    streams: RedisStreams
    recent: RedisRecent
    finished: Finished
    store: FirestoreJobs
    statuses: Statuses
    batches: BatchStates
    waiting: Waiting
    feeds: Feeds
    progress: Progress


@dataclass(frozen=True, slots=True)
class _Accepting:
    """What makes jobs, and works beside the requests."""

    desk: Desk
    posting: Posting
    idempotency: Idempotency
    aside: Aside


@asynccontextmanager
async def gateway(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    async with _connected(settings) as adapters:
        reading = _reading(settings, adapters)
        waiting, clock = reading.waiting, reading.clock
        authenticator = Authenticator(FirestoreKeys(adapters.database), clock)
        handlers = Handlers(FirestoreCatalogue(adapters.database), clock)
        runtime.metrics.gauge(HTTP_HELD).set_function(lambda: waiting.count)
        lateness = Lateness(clock, runtime.metrics.counter(LOOP_STALLS).inc)
        patience = Patience(settings.head_seconds, clock)
        runtime.metrics.gauge(LOOP_LATENESS).set_function(lambda: lateness.milliseconds / 1_000)
        limiter = Limiter(settings, RedisRates(adapters.redis), clock)
        edge = Edge(runtime, RequestIds(), lateness)
        app = web.Application(middlewares=[edge.middleware()], client_max_size=settings.max_body_bytes + 1)
        flights = RedisFlights(adapters.redis)
        cleaner = Cleaner(eraser=reading.cache, flights=flights, recent=reading.recent, clock=clock)
        following = (
            *waiting.follow(),
            handlers.follow(settings.catalogue_seconds),
            lateness.measure(),
            patience.sweep(),
            reading.feeds.listen(),
            reading.feeds.look_again(),
            cleaner.run(),
            adapters.meter.run(),
        )
        admission = Admission(authenticator, limiter, lateness, edge, runtime.traces)
        async with _accepting(settings, runtime, adapters, reading, handlers) as accepting, running(*following):
            endpoints = _job_endpoints(settings, adapters, reading, accepting, handlers, cleaner)
            operators = _operator_endpoints(settings, adapters, reading, handlers, authenticator, endpoints.replays)
            batches = _batch_endpoints(settings, adapters, reading, accepting, handlers, limiter, endpoints)
            hooks = webhook_endpoints(settings, adapters.database, adapters.publisher, reading.keys, reading.clock)
            mount(
                app,
                [*table(endpoints), *batches_table(batches), *operators_table(operators), *webhooks_table(hooks)],
                open_table(_open_endpoints(handlers, runtime)),
                Door(authenticator, limiter),
            )
            async with (
                _express(settings, admission, reading, accepting, adapters.statistics) as lane,
                serving(settings, app, edge, lane, patience) as server,
            ):

                async def stop_taking() -> None:
                    await asyncio.sleep(settings.linger_seconds)
                    waiting.release_all()
                    await server.stop_listening()

                yield Service(_checks(adapters), stop_taking, server.finish)


def _reading(settings: Settings, adapters: _Adapters) -> _Reading:
    clock, keys = SystemClock(), IdKeys.parse(settings.id_keys.reveal())
    ids, cache, streams = Ids(keys), RedisSnapshots(adapters.redis), RedisStreams(adapters.redis)
    finished = Finished(settings.finished_bytes, clock)
    retention = Retention(settings.retention_succeeded_seconds, settings.retention_other_seconds)
    store = FirestoreJobs(adapters.database, retention)
    statuses = Statuses(
        settings, ids=ids, finished=finished, cache=cache, store=store, retention=retention, clock=clock
    )
    stores = BatchStores.firestore(adapters.database, retention)
    batches = BatchStates(
        settings, ids=ids, finished=finished, cache=cache, store=stores.batches, retention=retention, clock=clock
    )
    states = AllStates(statuses, batches)
    waiting = Waiting(settings, cache=cache, statuses=states, finished=finished, clock=clock, chance=random.random)
    feeds = Feeds(settings, streams=streams, clock=clock, chance=random.random)
    recent = RedisRecent(adapters.redis)
    progress = Progress(streams)
    return _Reading(
        clock,
        keys,
        ids,
        retention,
        cache,
        streams,
        recent,
        finished,
        store,
        statuses,
        batches,
        waiting,
        feeds,
        progress,
    )


@asynccontextmanager
async def _accepting(
    settings: Settings, runtime: Runtime, adapters: _Adapters, reading: _Reading, handlers: Handlers
) -> AsyncIterator[_Accepting]:
    """Ends when all that was being accepted is, and told."""
    submitter = Submitter(
        settings,
        ids=reading.ids,
        handlers=handlers,
        publisher=adapters.publisher,
        schedules=reading.store,
        clock=reading.clock,
        hooks=job_hooks(settings, adapters.database, reading.clock),
        usage=adapters.statistics.usage,
    )
    aside = Aside()
    sharing = Sharing(
        flights=RedisFlights(adapters.redis),
        submitter=submitter,
        statuses=reading.statuses,
        finished=reading.finished,
        recent=reading.recent,
        aside=aside,
        answers=runtime.metrics.counter(CACHE_ANSWERS),
        usage=adapters.statistics.usage,
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
        desk = Desk(submitter, sharing, reading.statuses, reading.recent, reading.clock)
        posting = Posting(
            settings,
            desk=desk,
            idempotency=idempotency,
            waiting=reading.waiting,
            progress=reading.progress,
            run_times=adapters.statistics.run_times,
        )
        yield _Accepting(desk, posting, idempotency, aside)


@asynccontextmanager
async def _express(
    settings: Settings,
    admission: Admission,
    reading: _Reading,
    accepting: _Accepting,
    statistics: StatisticsParts,
) -> AsyncIterator[Express]:
    """Ends when everyone who was taken is answered."""
    edge, statuses = admission.edge, reading.statuses
    holding = Holding(waiting=reading.waiting, progress=reading.progress, edge=edge)
    posts = Posts(
        admission=admission,
        posting=accepting.posting,
        statuses=statuses,
        holding=holding,
        edge=edge,
        max_body_bytes=settings.max_body_bytes,
    )
    async with aclosing(holding), aclosing(posts):
        reads = Reads(
            admission=admission, statuses=statuses, holding=holding, edge=edge, run_times=statistics.run_times
        )
        yield Express(reads, posts)


def _job_endpoints(
    settings: Settings,
    adapters: _Adapters,
    reading: _Reading,
    accepting: _Accepting,
    handlers: Handlers,
    cleaner: Cleaner,
) -> JobEndpoints:
    statuses, retention, clock = reading.statuses, reading.retention, reading.clock
    progress = reading.progress
    telling = Telling(
        settings,
        teller=reading.cache,
        flights=RedisFlights(adapters.redis),
        caller=RedisCancellations(adapters.redis),
        publisher=adapters.publisher,
        aside=accepting.aside,
        clock=clock,
    )
    controls, board = FirestoreQueueControls(adapters.database), RedisLanes(adapters.redis)
    queues = QueueStates(handlers, controls, board, Names(settings.prefix), clock)
    return JobEndpoints(
        posting=accepting.posting,
        lists=Lists(
            lists=FirestoreJobLists(adapters.database),
            recent=reading.recent,
            ids=reading.ids,
            cursors=Cursors(reading.keys),
            retention=retention,
            clock=clock,
        ),
        jobs=Jobs(
            statuses=statuses, waiting=reading.waiting, progress=progress, run_times=adapters.statistics.run_times
        ),
        deletes=Deletes(
            statuses=statuses,
            finished=reading.finished,
            store=reading.store,
            timers=FirestoreTimers(adapters.database),
            telling=telling,
            cleaner=cleaner,
            retention=retention,
            clock=clock,
        ),
        cancels=Cancels(
            statuses=statuses,
            finished=reading.finished,
            store=reading.store,
            telling=telling,
            retention=retention,
            clock=clock,
        ),
        replays=Replays(desk=accepting.desk, idempotency=accepting.idempotency, ids=reading.ids, retention=retention),
        explains=Explains(
            statuses=statuses,
            cache=reading.cache,
            handlers=handlers,
            queues=queues,
            run_times=adapters.statistics.run_times,
            clock=clock,
        ),
        events=Events(
            statuses=statuses,
            waiting=reading.waiting,
            feeds=reading.feeds,
            progress=progress,
            chance=random.random,
        ),
    )


def _batch_endpoints(
    settings: Settings,
    adapters: _Adapters,
    reading: _Reading,
    accepting: _Accepting,
    handlers: Handlers,
    limiter: Limiter,
    jobs: JobEndpoints,
) -> BatchEndpoints:
    parts = BatchParts(
        stores=BatchStores.firestore(adapters.database, reading.retention),
        publisher=adapters.publisher,
        cache=reading.cache,
        keys=reading.keys,
        states=reading.batches,
        finished=reading.finished,
        retention=reading.retention,
        handlers=handlers,
        hooks=job_hooks(settings, adapters.database, reading.clock),
        limiter=limiter,
        waiting=reading.waiting,
        idempotency=accepting.idempotency,
        aside=accepting.aside,
        erase_job=jobs.deletes.erase,
        clock=reading.clock,
    )
    return batch_endpoints(settings, parts)


def _operator_endpoints(
    settings: Settings,
    adapters: _Adapters,
    reading: _Reading,
    handlers: Handlers,
    authenticator: Authenticator,
    replays: Replays,
) -> OperatorEndpoints:
    cursors, clock = Cursors(reading.keys), reading.clock
    letters = Letters(FirestoreDeadLetters(adapters.database), reading.retention, clock)
    return OperatorEndpoints(
        catalogue=CatalogueRoutes(handlers, cursors, adapters.statistics.run_times),
        keys=KeyRoutes(FirestoreKeys(adapters.database), authenticator, cursors, clock, os.urandom),
        queues=QueueRoutes(
            handlers=handlers,
            controls=FirestoreQueueControls(adapters.database),
            board=RedisLanes(adapters.redis),
            names=Names(settings.prefix),
            clock=clock,
        ),
        dead_letters=DeadLetterRoutes(letters, cursors),
        dead_replays=DeadReplays(letters, replays, reading.statuses, reading.store, cursors, clock),
        statistics=adapters.statistics.routes,
    )


def _open_endpoints(handlers: Handlers, runtime: Runtime) -> OpenEndpoints:
    document = parts.load()
    return OpenEndpoints(runtime.readiness, Description(document, handlers), Docs(), ProblemPages(document))


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[_Adapters]:
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
                yield _Adapters(broker, counting, meter, database, redis, statistics)
        finally:
            await publisher.aclose(deadline_seconds=CLOSE_SECONDS)
            await broker.aclose()


def _checks(adapters: _Adapters) -> dict[str, Check]:
    return {
        "broker": adapters.broker.until_ready,
        "store": adapters.database.ping,
        "cache": adapters.redis.ping,
    }
