"""The aggregator's composition root: the only place here that names Pub/Sub, Firestore and Redis.

In two steps: `connected` makes the adapters, `serving` builds the service on them. `aggregator` is both.
"""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from services.aggregator.consume import Consuming
from services.aggregator.fan_in import Heard
from services.aggregator.measures import Measures
from services.aggregator.merge import Merging
from services.aggregator.roll_up import RollUp
from services.aggregator.settings import Settings
from services.aggregator.settle import Settling
from services.aggregator.silence import Silence
from services.aggregator.statistics import Statistics
from services.aggregator.telling import Telling
from services.aggregator.windows import Windows
from shared import connections
from shared.cache.contract import CancelCaller, Teller
from shared.cache.redis.cancellations import RedisCancellations
from shared.cache.redis.snapshots import RedisSnapshots
from shared.clock import Clock, SystemClock
from shared.ids import IdKeys, Ids
from shared.lifecycle import Check, Runtime, Service, running
from shared.messaging.consumer import Consumer, Pace
from shared.messaging.contract import Publisher, Source
from shared.messaging.lanes import Lane
from shared.messaging.topics import AGGREGATOR, Names
from shared.models.job import Retention
from shared.storage.batch_contract import BatchWrites
from shared.storage.contract import JobWrites
from shared.storage.firestore import FirestoreBatches, FirestoreJobs, FirestoreStatistics
from shared.storage.statistics import Statistics as StatisticsStore
from shared.telemetry.metrics import AGGREGATOR_HELD

RELEASE_SECONDS = 1.0
"""Of the drain, for handing back messages."""
HOUR_MS, DAY_MS = 3_600_000, 86_400_000


@dataclass(frozen=True, slots=True)
class Adapters:
    """What the outside is reached through."""

    batches: BatchWrites
    jobs: JobWrites
    statistics: StatisticsStore
    teller: Teller
    caller: CancelCaller
    publisher: Publisher
    source: Source
    clock: Clock
    checks: Mapping[str, Check]
    """Of what is connected."""


@dataclass(frozen=True, slots=True)
class _Parts:
    consuming: Consuming
    silence: Silence
    windows: Windows[Heard]
    statistics: Statistics


@asynccontextmanager
async def aggregator(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    async with connected(settings) as adapters, serving(settings, runtime, adapters) as service:
        yield service


@asynccontextmanager
async def serving(settings: Settings, runtime: Runtime, adapters: Adapters) -> AsyncIterator[Service]:
    """The service on these adapters, which are open for as long as it."""
    parts = _parts(settings, Measures(runtime.metrics, adapters.clock), adapters)
    names, clock = Names(settings.prefix), adapters.clock
    subscription = names.reader(names.events, AGGREGATOR)
    consumer = Consumer(
        adapters.source,
        [Lane(subscription)],
        parts.consuming.handle,
        capacity=settings.events,
        clock=clock,
        pace=Pace(pulls=settings.pulls),
    )
    runtime.metrics.gauge(AGGREGATOR_HELD).set_function(lambda: consumer.counters[subscription].in_flight)
    roll_up = RollUp(
        adapters.statistics,
        clock,
        minutes_ms=settings.minutes_kept_hours * HOUR_MS,
        hours_ms=settings.hours_kept_days * DAY_MS,
        every_seconds=settings.roll_up_seconds,
        chance=random.random,
    )
    async with (
        aclosing(parts.windows),
        aclosing(parts.statistics),
        running(consumer.run(), parts.silence.run(), roll_up.run()),
    ):

        async def stop() -> None:
            consumer.stop_taking()

        async def drain(seconds: float) -> None:
            await consumer.drain(deadline_seconds=max(0.0, seconds - RELEASE_SECONDS))

        yield Service(adapters.checks, stop, drain)


def _parts(settings: Settings, measures: Measures, adapters: Adapters) -> _Parts:
    clock, ids = adapters.clock, Ids(IdKeys.parse(settings.id_keys.reveal()))
    telling = Telling(
        adapters.teller,
        adapters.caller,
        adapters.publisher,
        Names(settings.prefix),
        clock,
        settings.publish_seconds,
    )
    merging = Merging(adapters.batches, telling, ids, clock, measures, settings.spacing_seconds)
    windows = Windows[Heard](
        Heard, merging.commit, clock, gather_seconds=settings.gather_seconds, at_once=settings.writes
    )
    settling = Settling(
        adapters.batches,
        adapters.jobs,
        windows,
        telling,
        measures,
        ids,
        clock,
        asyncio.Semaphore(settings.settling),
    )
    silence = Silence(settling, clock, seconds=settings.silence_seconds)
    statistics = Statistics(
        adapters.statistics,
        measures,
        clock,
        seconds=settings.statistics_seconds,
        kept_ms=settings.hours_kept_days * DAY_MS,
        token=lambda: secrets.token_hex(16),
    )
    consuming = Consuming(windows, settling, silence, statistics, adapters.jobs, ids, measures)
    return _Parts(consuming, silence, windows, statistics)


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Adapters]:
    """The adapters of a service that is so set, open for as long as the block lasts."""
    retention = Retention(settings.retention_succeeded_seconds, settings.retention_other_seconds)
    async with (
        connections.redis(settings, timeout_seconds=settings.cache_seconds) as redis,
        connections.firestore(settings) as database,
        connections.pubsub(settings) as pubsub,
    ):
        yield Adapters(
            batches=FirestoreBatches(database, retention),
            jobs=FirestoreJobs(database, retention),
            statistics=FirestoreStatistics(database),
            teller=RedisSnapshots(redis),
            caller=RedisCancellations(redis),
            publisher=pubsub.publisher,
            source=pubsub.source,
            clock=SystemClock(),
            checks={"broker": pubsub.channel.until_ready, "store": database.ping, "cache": redis.ping},
        )
