"""The worker's composition root: the only place here that names Pub/Sub, Firestore and Redis.

In two steps: `connected` makes the adapters, `serving` builds the worker on them. `worker` is both.
"""

import asyncio
import math
import os
import random
import secrets
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from services.worker import pausing
from services.worker.announce import announce
from services.worker.cancellation import hear_cancels
from services.worker.claim import Claimant, Claims
from services.worker.consume import burying, taking
from services.worker.execution.engine import Engine
from services.worker.execution.settings import ExecutionSettings
from services.worker.jwks import KeySet, fetching
from services.worker.keeper import Keeper
from services.worker.lanes import Seen, meter_lanes
from services.worker.measures import Measures
from services.worker.receive import receiving
from services.worker.reducing import Reducing
from services.worker.reports import Reports
from services.worker.retry import Backoff
from services.worker.settings import Settings
from services.worker.tell import Telling
from services.worker.undeliverable import Undeliverable
from services.worker.work import Tools, Work
from shared import connections
from shared.cache.contract import CancelCalls, Landing, StreamWriter, Teller
from shared.cache.lane_meter import LaneMeter
from shared.cache.lanes import LaneJournal
from shared.cache.redis.cancellations import RedisCancellations
from shared.cache.redis.flights import RedisFlights
from shared.cache.redis.lanes import RedisLanes
from shared.cache.redis.snapshots import RedisSnapshots
from shared.cache.redis.streams import RedisStreams
from shared.clock import Clock, SystemClock
from shared.ids import IdKeys, Ids
from shared.lifecycle import Check, Runtime, Service, running
from shared.messaging.contract import Handle, Publisher, Source
from shared.messaging.topics import Names
from shared.models.job import Retention
from shared.storage.batch_contract import BatchReader
from shared.storage.contract import Catalogue, JobClaims, JobOutcomes, QueueControls
from shared.storage.firestore import (
    FirestoreBatches,
    FirestoreCatalogue,
    FirestoreJobLists,
    FirestoreJobs,
    FirestoreQueueControls,
)

RELEASE_SECONDS = 2.0
"""Of the drain, for handing back what did not finish."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """What the outside is reached through."""

    store: JobClaims
    batches: BatchReader
    outcomes: JobOutcomes
    catalogue: Catalogue
    teller: Teller
    landing: Landing
    streams: StreamWriter
    calls: CancelCalls
    controls: QueueControls
    lanes: LaneJournal
    publisher: Publisher
    source: Source
    clock: Clock
    checks: Mapping[str, Check]
    """Of what is connected."""


class Intake(Protocol):
    """What takes messages and hands them to `Work.handle`."""

    @property
    def consumers(self) -> Mapping[str, Seen]: ...
    def running(self) -> AbstractAsyncContextManager[None]: ...
    def pause(self, queues: Collection[str], /) -> None: ...
    async def stop(self) -> None: ...
    async def drain(self, seconds: float, /) -> None: ...


@asynccontextmanager
async def worker(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    async with connected(settings) as adapters, serving(settings, runtime, adapters) as service:
        yield service


@asynccontextmanager
async def serving(settings: Settings, runtime: Runtime, adapters: Adapters) -> AsyncIterator[Service]:
    """A worker on these adapters, which are open for as long as it."""
    clock = adapters.clock
    async with _engine(settings, clock) as engine:
        catalogue = await engine.start()
        entries = [loaded.entry for loaded in catalogue.values()]
        reports = Reports(adapters.streams, clock)
        tools = _tools(settings, runtime, adapters, engine, reports)
        work, keeper = Work(tools), tools.keeper
        queues = _intake(settings, runtime, adapters, engine, work.handle)
        dead = burying(settings, catalogue, adapters.source, _undeliverable(settings, tools).handle, clock)
        meter = LaneMeter(adapters.lanes, settings.instance, clock, random.random)
        meter_lanes(meter, queues.consumers, Names(settings.prefix))
        await announce(entries, adapters.catalogue, clock, random.random)
        await pausing.look(adapters.controls, queues)
        pauses = pausing.follow(adapters.controls, queues, clock, every_seconds=settings.controls_seconds)
        cancels = hear_cancels(settings.instance, adapters.calls, keeper, clock, random.random)
        async with running(keeper.run(), reports.run(), cancels, pauses, meter.run()), queues.running(), dead.running():

            async def stop() -> None:
                await queues.stop()
                await dead.stop()

            async def drain(seconds: float) -> None:
                await engine.drain(max(0.0, seconds - RELEASE_SECONDS))
                await engine.close()
                await asyncio.gather(queues.drain(RELEASE_SECONDS), dead.drain(RELEASE_SECONDS))

            yield Service({**adapters.checks, "runners": engine.check}, stop, drain)


def _intake(settings: Settings, runtime: Runtime, adapters: Adapters, engine: Engine, handle: Handle) -> Intake:
    """Pulling, or being pushed to."""
    catalogue, slots, clock = engine.catalogue, engine.slots, adapters.clock
    if not settings.push:
        return taking(settings, catalogue, slots, adapters.source, handle, clock)
    keys = KeySet(fetching(settings.push_keys_url), clock, random.random)
    return receiving(settings, catalogue, slots, keys, handle, clock=clock, draw=random.random, metrics=runtime.metrics)


def _undeliverable(settings: Settings, tools: Tools) -> Undeliverable:
    return Undeliverable(
        tools.store,
        settings.instance,
        telling=tools.telling,
        measures=tools.measures,
        names=tools.names,
        traces=tools.traces,
        clock=tools.clock,
        chance=tools.chance,
    )


def _tools(settings: Settings, runtime: Runtime, adapters: Adapters, engine: Engine, reports: Reports) -> Tools:
    names, store, clock = Names(settings.prefix), adapters.store, adapters.clock
    claimant = Claimant(settings.instance, settings.lease_seconds, lambda: secrets.token_hex(8))
    telling = Telling(
        teller=adapters.teller,
        landing=adapters.landing,
        publisher=adapters.publisher,
        topic=names.events,
        clock=clock,
        publish_seconds=settings.publish_seconds,
    )
    keeper = Keeper(clock=clock, lease_seconds=settings.lease_seconds, announce=telling.running)
    return Tools(
        claims=Claims(store, claimant, clock),
        claimant=claimant,
        store=store,
        engine=engine,
        reducing=_reducing(settings, adapters, engine),
        keeper=keeper,
        telling=telling,
        backoff=Backoff(settings.retry_base_seconds, settings.retry_cap_seconds, random.random),
        names=names,
        traces=runtime.traces,
        measures=Measures(runtime.metrics, clock),
        reports=reports,
        clock=clock,
        chance=random.random,
    )


def _reducing(settings: Settings, adapters: Adapters, engine: Engine) -> Reducing:
    return Reducing(
        engine=engine,
        batches=adapters.batches,
        outcomes=adapters.outcomes,
        ids=Ids(IdKeys.parse(settings.id_keys.reveal())),
        output_bytes=settings.max_output_bytes,
        clock=adapters.clock,
        chance=random.random,
    )


@asynccontextmanager
async def _engine(settings: Settings, clock: Clock) -> AsyncIterator[Engine]:
    execution = ExecutionSettings(
        handlers=settings.handlers,
        loop_slots=settings.concurrency,
        thread_slots=settings.threads,
        solo_slots=settings.processes,
        output_bytes=settings.max_output_bytes,
        memory_bytes=settings.memory_bytes,
        longest_seconds=settings.push_job_seconds if settings.push else math.inf,
        instance=settings.instance,
        log_level=settings.log_level,
    )
    engine = Engine(execution, environ=os.environ, clock=clock, chance=random.random)
    try:
        yield engine
    finally:
        await engine.close()


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Adapters]:
    """The adapters of a worker that is so set, open for as long as the block lasts."""
    retention = Retention(settings.retention_succeeded_seconds, settings.retention_other_seconds)
    async with (
        connections.redis(settings, timeout_seconds=settings.cache_seconds) as redis,
        connections.firestore(settings) as database,
        connections.pubsub(settings) as pubsub,
    ):
        yield Adapters(
            store=FirestoreJobs(database, retention),
            batches=FirestoreBatches(database),
            outcomes=FirestoreJobLists(database),
            catalogue=FirestoreCatalogue(database),
            teller=RedisSnapshots(redis),
            landing=RedisFlights(redis),
            streams=RedisStreams(redis),
            calls=RedisCancellations(redis),
            controls=FirestoreQueueControls(database),
            lanes=RedisLanes(redis),
            publisher=pubsub.publisher,
            source=pubsub.source,
            clock=SystemClock(),
            checks={"broker": pubsub.channel.until_ready, "store": database.ping, "cache": redis.ping},
        )
