"""The gateway's composition root: with `wiring` the only place here that names Pub/Sub, Firestore and Redis.

Builds adapters, then what uses them, then the server, and closes in reverse.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from services.gateway.access.auth import Authenticator
from services.gateway.access.rates import Limiter
from services.gateway.catalogue.handlers import Handlers
from services.gateway.express.admission import Admission
from services.gateway.http.edge import Edge, RequestIds
from services.gateway.http.patience import Patience
from services.gateway.http.shedding import Lateness
from services.gateway.jobs.delete import Cleaner
from services.gateway.routes import (
    Door,
    JobEndpoints,
    batches_table,
    mount,
    open_table,
    operators_table,
    table,
    webhooks_table,
)
from services.gateway.server import serving
from services.gateway.settings import Settings
from services.gateway.wiring.accepting import Accepting, accepting_parts
from services.gateway.wiring.adapters import Adapters, connected
from services.gateway.wiring.batches import BatchParts, BatchStores, batch_endpoints
from services.gateway.wiring.express import express_lane
from services.gateway.wiring.jobs import job_endpoints
from services.gateway.wiring.operators import open_endpoints, operator_endpoints
from services.gateway.wiring.reading import Reading, reading_parts
from services.gateway.wiring.webhooks import job_hooks, webhook_endpoints
from shared.cache.redis.flights import RedisFlights
from shared.cache.redis.rates import RedisRates
from shared.lifecycle import Runtime, Service, running
from shared.storage.firestore import FirestoreCatalogue, FirestoreKeys
from shared.telemetry.metrics import HTTP_HELD, LOOP_LATENESS, LOOP_STALLS


@asynccontextmanager
async def gateway(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    async with connected(settings) as adapters:
        reading = reading_parts(settings, adapters)
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
        async with accepting_parts(settings, runtime, adapters, reading, handlers) as accepting, running(*following):
            endpoints = job_endpoints(settings, adapters, reading, accepting, handlers, cleaner)
            operators = operator_endpoints(settings, adapters, reading, handlers, authenticator, endpoints.replays)
            parts = _batch_parts(settings, adapters, reading, accepting, handlers, limiter, endpoints)
            batches = batch_endpoints(settings, parts)
            hooks = webhook_endpoints(settings, adapters.database, adapters.publisher, reading.keys, reading.clock)
            mount(
                app,
                [*table(endpoints), *batches_table(batches), *operators_table(operators), *webhooks_table(hooks)],
                open_table(open_endpoints(handlers, runtime)),
                Door(authenticator, limiter),
            )
            async with (
                express_lane(settings, admission, reading, accepting, adapters.statistics) as lane,
                serving(settings, app, edge, lane, patience) as server,
            ):

                async def stop_taking() -> None:
                    await asyncio.sleep(settings.linger_seconds)
                    adapters.statistics.run_times.spread_out()
                    waiting.release_all()
                    await server.stop_listening()

                yield Service(adapters.checks, stop_taking, server.finish)


def _batch_parts(
    settings: Settings,
    adapters: Adapters,
    reading: Reading,
    accepting: Accepting,
    handlers: Handlers,
    limiter: Limiter,
    jobs: JobEndpoints,
) -> BatchParts:
    return BatchParts(
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
