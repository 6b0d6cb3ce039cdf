"""The webhooks service's composition root: the only place here that names Pub/Sub, Firestore and the network.

In two steps: `connected` makes the adapters, `serving` builds the service on them. `webhooks` is both.
"""

import random
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import aiohttp

from services.webhooks.attempt import Attempts, Measures
from services.webhooks.consume import Consuming
from services.webhooks.deliver import GIVE_BACK_SECONDS, Deliverer
from services.webhooks.directory import Directory
from services.webhooks.egress import DnsLookup, session
from services.webhooks.health import HealthBook
from services.webhooks.lanes import Limits, Turns
from services.webhooks.posting import Poster
from services.webhooks.recover import Recovery
from services.webhooks.settings import Settings
from services.webhooks.shards import Shards
from services.webhooks.targets import Targets
from services.webhooks.telling import Telling
from shared import connections
from shared.clock import MILLISECONDS, Clock, SystemClock
from shared.egress import Rules
from shared.ids import IdKeys, Ids
from shared.lifecycle import Check, Runtime, Service, running
from shared.messaging.consumer import Consumer
from shared.messaging.contract import Publisher, Source
from shared.messaging.lanes import Lane
from shared.messaging.topics import WEBHOOKS, Names
from shared.models.job import Retention
from shared.sealing import Sealer
from shared.storage.contract import JobReader
from shared.storage.firestore import (
    FirestoreDeliveries,
    FirestoreEndpoints,
    FirestoreHealths,
    FirestoreJobs,
    FirestoreShardLeases,
    FirestoreTenantHooks,
)
from shared.storage.shard_leases import DELIVERIES, ShardLeases
from shared.storage.webhook_contract import DELIVERY_SHARDS, Deliveries, Endpoints, Healths, TenantHooksReader
from shared.telemetry.metrics import (
    WEBHOOK_ATTEMPTS,
    WEBHOOK_DURATION,
    WEBHOOK_ENDS,
    WEBHOOK_EVENTS,
    WEBHOOK_LAG,
    WEBHOOK_SHARDS,
    WEBHOOKS_DUE,
    WEBHOOKS_IN_FLIGHT,
    WEBHOOKS_OLDEST,
    Metrics,
)
from shared.tenure.tenure import Tenure

RELEASE_SECONDS = 2.0
"""Of the drain, for handing back messages and shards."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """What the outside is reached through."""

    jobs: JobReader
    endpoints: Endpoints
    tenants: TenantHooksReader
    healths: Healths
    deliveries: Deliveries
    leases: ShardLeases
    publisher: Publisher
    source: Source
    client: aiohttp.ClientSession
    clock: Clock
    checks: Mapping[str, Check]
    """Of what is connected."""


@asynccontextmanager
async def webhooks(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    async with connected(settings) as adapters, serving(settings, runtime, adapters) as service:
        yield service


@asynccontextmanager
async def serving(settings: Settings, runtime: Runtime, adapters: Adapters) -> AsyncIterator[Service]:
    """The service on these adapters, which are open for as long as it."""
    clock, metrics = adapters.clock, runtime.metrics
    directory = Directory(adapters.endpoints, adapters.tenants, clock, seconds=settings.endpoint_seconds)
    book = HealthBook(adapters.healths, clock)
    deliverer = Deliverer(
        settings,
        turns=Turns(_limits(settings)),
        deliveries=adapters.deliveries,
        book=book,
        clock=clock,
        chance=random.random,
    )
    tenure = Tenure(
        settings.instance,
        adapters.leases,
        clock,
        shards=DELIVERY_SHARDS,
        lease_seconds=settings.shard_lease_seconds,
        draw_term=lambda: secrets.token_hex(8),
        chance=random.random,
        busy=deliverer.busy,
        lost=deliverer.lost,
    )
    shards = Shards(tenure)
    attempts = _attempts(settings, metrics, adapters, directory, book)
    consuming = _consuming(settings, metrics, adapters, directory, deliverer, shards)
    subscription = Names(settings.prefix).reader(Names(settings.prefix).events, WEBHOOKS)
    consumer = Consumer(adapters.source, [Lane(subscription)], consuming.handle, capacity=settings.events, clock=clock)
    _show(metrics, clock, deliverer, shards)
    async with running(tenure.run(), deliverer.run(attempts, shards), deliverer.look(shards), consumer.run()):

        async def stop() -> None:
            consumer.stop_taking()
            await deliverer.stop()

        async def drain(seconds: float) -> None:
            await deliverer.drain(max(0.0, seconds - RELEASE_SECONDS - GIVE_BACK_SECONDS))
            await deliverer.give_back()
            await consumer.drain(deadline_seconds=RELEASE_SECONDS / 2)
            await tenure.leave()

        yield Service(adapters.checks, stop, drain)


def _limits(settings: Settings) -> Limits:
    return Limits(
        in_flight=settings.endpoint_slots,
        rate=settings.endpoint_rate,
        burst=settings.endpoint_burst,
        waiting=settings.endpoint_backlog,
        slots=settings.slots,
        slow_share=settings.slow_share,
    )


def _attempts(
    settings: Settings, metrics: Metrics, adapters: Adapters, directory: Directory, book: HealthBook
) -> Attempts:
    rules = Rules(local=settings.webhooks_allow_local)
    return Attempts(
        deliveries=adapters.deliveries,
        endpoints=adapters.endpoints,
        directory=directory,
        targets=Targets(directory, Sealer.parse(settings.webhook_keys.reveal()), rules),
        poster=Poster(adapters.client, adapters.clock, settings.total_seconds),
        book=book,
        telling=Telling(
            adapters.publisher,
            Names(settings.prefix).events,
            adapters.clock,
            publish_seconds=settings.publish_seconds,
        ),
        measures=Measures(
            metrics.counter(WEBHOOK_ATTEMPTS),
            metrics.counter(WEBHOOK_ENDS),
            metrics.histogram(WEBHOOK_DURATION),
            metrics.histogram(WEBHOOK_LAG),
        ),
        clock=adapters.clock,
        chance=random.random,
        claim_seconds=settings.claim_seconds,
        attempt_seconds=settings.total_seconds,
    )


def _consuming(
    settings: Settings,
    metrics: Metrics,
    adapters: Adapters,
    directory: Directory,
    deliverer: Deliverer,
    shards: Shards,
) -> Consuming:
    recovery = Recovery(
        adapters.deliveries,
        adapters.endpoints,
        adapters.publisher,
        Names(settings.prefix).events,
        adapters.clock,
        rate=settings.recover_rate,
        publish_seconds=settings.publish_seconds,
        chance=random.random,
    )
    return Consuming(
        directory=directory,
        jobs=adapters.jobs,
        deliveries=adapters.deliveries,
        deliverer=deliverer,
        shards=shards,
        recovery=recovery,
        ids=Ids(IdKeys.parse(settings.id_keys.reveal())),
        clock=adapters.clock,
        public_url=settings.public_url.rstrip("/"),
        counted=metrics.counter(WEBHOOK_EVENTS),
    )


def _show(metrics: Metrics, clock: Clock, deliverer: Deliverer, shards: Shards) -> None:
    """What this service is scaled on, and how full it is."""

    def oldest() -> float:
        at = deliverer.backlog.oldest_at
        return 0.0 if at is None else max(0.0, (clock.now() - at) / MILLISECONDS)

    metrics.gauge(WEBHOOKS_DUE).set_function(lambda: deliverer.backlog.due)
    metrics.gauge(WEBHOOKS_OLDEST).set_function(oldest)
    metrics.gauge(WEBHOOKS_IN_FLIGHT).set_function(lambda: deliverer.in_flight)
    metrics.gauge(WEBHOOK_SHARDS).set_function(lambda: len(shards.held))


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Adapters]:
    """The adapters of a service that is so set, open for as long as the block lasts."""
    rules = Rules(local=settings.webhooks_allow_local)
    lookup = DnsLookup(settings.webhooks_dns, seconds=settings.dns_seconds)
    client = session(rules, lookup, dns_seconds=settings.dns_seconds, connect_seconds=settings.connect_seconds)
    retention = Retention(settings.retention_succeeded_seconds, settings.retention_other_seconds)
    async with (
        aclosing(lookup),
        client as out,
        connections.firestore(settings) as database,
        connections.pubsub(settings) as pubsub,
    ):
        yield Adapters(
            jobs=FirestoreJobs(database, retention),
            endpoints=FirestoreEndpoints(database),
            tenants=FirestoreTenantHooks(database),
            healths=FirestoreHealths(database),
            deliveries=FirestoreDeliveries(database),
            leases=FirestoreShardLeases(database, DELIVERIES),
            publisher=pubsub.publisher,
            source=pubsub.source,
            client=out,
            clock=SystemClock(),
            checks={"broker": pubsub.channel.until_ready, "store": database.ping},
        )
