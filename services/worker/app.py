"""The worker's composition root: the only place here that names Pub/Sub, Firestore and Redis."""

import os
import random
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.worker.announce import announce
from services.worker.claim import Claimant, Claims
from services.worker.consume import taking
from services.worker.execution.engine import Engine
from services.worker.execution.settings import ExecutionSettings
from services.worker.keeper import Keeper
from services.worker.measures import Measures
from services.worker.retry import Backoff
from services.worker.settings import Settings
from services.worker.tell import Telling
from services.worker.work import Tools, Work
from shared.cache.redis.address import Address
from shared.cache.redis.connection import Connection
from shared.cache.redis.flights import RedisFlights
from shared.cache.redis.snapshots import RedisSnapshots
from shared.clock import SystemClock
from shared.lifecycle import Check, Runtime, Service, running
from shared.messaging.pubsub import PubSubChannel, PubSubPublisher, PubSubSource
from shared.messaging.topics import Names
from shared.models.job import Retention
from shared.storage.firestore import FirestoreCatalogue, FirestoreDatabase, FirestoreJobs

CLOSE_SECONDS = 1.0
RELEASE_SECONDS = 2.0
"""Of the drain, for handing back what did not finish."""


@dataclass(frozen=True, slots=True)
class _Adapters:
    """What the outside is reached through."""

    broker: PubSubChannel
    publisher: PubSubPublisher
    source: PubSubSource
    database: FirestoreDatabase
    redis: Connection


@asynccontextmanager
async def worker(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    clock = SystemClock()
    async with _connected(settings) as adapters, _engine(settings, clock) as engine:
        catalogue = await engine.start()
        entries = [loaded.entry for loaded in catalogue.values()]
        work, keeper = _work(settings, runtime, adapters, engine, clock)
        queues = taking(settings, catalogue, engine.slots, adapters.source, work.handle, clock)
        await announce(entries, FirestoreCatalogue(adapters.database), clock, random.random)
        async with running(keeper.run()), queues.running():

            async def drain(seconds: float) -> None:
                await engine.drain(max(0.0, seconds - RELEASE_SECONDS))
                await engine.close()
                await queues.drain(RELEASE_SECONDS)

            yield Service(_checks(adapters, engine), queues.stop, drain)


def _work(
    settings: Settings, runtime: Runtime, adapters: _Adapters, engine: Engine, clock: SystemClock
) -> tuple[Work, Keeper]:
    retention = Retention(settings.retention_succeeded_seconds, settings.retention_other_seconds)
    names, store = Names(settings.prefix), FirestoreJobs(adapters.database, retention)
    claimant = Claimant(settings.instance, settings.lease_seconds, lambda: secrets.token_hex(8))
    telling = Telling(
        teller=RedisSnapshots(adapters.redis),
        landing=RedisFlights(adapters.redis),
        publisher=adapters.publisher,
        topic=names.events,
        clock=clock,
        publish_seconds=settings.publish_seconds,
    )
    keeper = Keeper(clock=clock, lease_seconds=settings.lease_seconds, announce=telling.running)
    tools = Tools(
        claims=Claims(store, claimant, clock),
        claimant=claimant,
        store=store,
        engine=engine,
        keeper=keeper,
        telling=telling,
        backoff=Backoff(settings.retry_base_seconds, settings.retry_cap_seconds, random.random),
        names=names,
        traces=runtime.traces,
        measures=Measures(runtime.metrics, clock),
        clock=clock,
        chance=random.random,
    )
    return Work(tools), keeper


@asynccontextmanager
async def _engine(settings: Settings, clock: SystemClock) -> AsyncIterator[Engine]:
    execution = ExecutionSettings(
        handlers=settings.handlers,
        loop_slots=settings.concurrency,
        thread_slots=settings.threads,
        solo_slots=settings.processes,
        output_bytes=settings.max_output_bytes,
        memory_bytes=settings.memory_bytes,
        instance=settings.instance,
        log_level=settings.log_level,
    )
    engine = Engine(execution, environ=os.environ, clock=clock, chance=random.random)
    try:
        yield engine
    finally:
        await engine.close()


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[_Adapters]:
    address = Address.parse(settings.redis_url)
    redis = Connection(address, timeout_seconds=settings.cache_seconds, rng=random.Random())  # noqa: S311 - jitter
    database = FirestoreDatabase(settings.project, settings.firestore_emulator or None)
    async with redis, database:
        broker = PubSubChannel.open(settings.project, emulator=settings.pubsub_emulator or None)
        publisher, source = PubSubPublisher(broker), PubSubSource(broker)
        try:
            yield _Adapters(broker, publisher, source, database, redis)
        finally:
            await publisher.aclose(deadline_seconds=CLOSE_SECONDS)
            await source.aclose()
            await broker.aclose()


def _checks(adapters: _Adapters, engine: Engine) -> Mapping[str, Check]:
    return {
        "broker": adapters.broker.until_ready,
        "store": adapters.database.ping,
        "cache": adapters.redis.ping,
        "runners": engine.check,
    }
