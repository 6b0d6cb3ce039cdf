"""Gateways without HTTP, sharing one broker, store and cache in memory, for tests of what accepts jobs."""

import math
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter

from services.gateway.aside import Aside
from services.gateway.catalogue.handlers import Handlers
from services.gateway.http.answers import Accepted
from services.gateway.http.problems import Problem
from services.gateway.jobs.desk import Desk
from services.gateway.jobs.finished import Finished
from services.gateway.jobs.hooks import JobHooks
from services.gateway.jobs.idempotency import Claim, First, Idempotency, Replayed
from services.gateway.jobs.posting import ROUTE, Order
from services.gateway.jobs.sharing import Sharing
from services.gateway.jobs.status import Statuses
from services.gateway.jobs.submission import parse_submission
from services.gateway.jobs.submit import Submitter
from services.gateway.settings import Settings
from services.gateway.statistics.usage import Usage
from shared.cache.contract import Result
from shared.cache.memory import MemoryCache
from shared.cache.memory_streams import MemoryRecent
from shared.clock import ManualClock
from shared.config import Secret
from shared.egress import Rules
from shared.ids import IdKeys, Ids
from shared.messaging.memory import MemoryBroker, MemoryPublisher
from shared.messaging.topics import Names, topology
from shared.models.envelope import Envelope
from shared.models.handler import HandlerEntry
from shared.models.job import ErrorCode, Job, JobError, JobSpec, Lane, Retention
from shared.models.public import snapshot
from shared.storage.contract import Version
from shared.storage.memory import MemoryCatalogue, MemoryDatabase, MemoryIdempotency, MemoryJobs
from shared.storage.memory_webhooks import MemoryTenantHooks

SETTINGS = Settings(id_keys=Secret(f"1:{'ab' * 32}"))
CACHED = HandlerEntry("cached", "default", "1", {}, {}, 30.0, 5, cache_for_seconds=100)
PLAIN = HandlerEntry("plain", "default", "1", {}, {}, 30.0, 5, cache_for_seconds=0)
BODY = {"handler": "plain", "input": {"b": 1, "a": [2]}}
SHARED = {"handler": "cached", "input": 1}
WINDOW_SECONDS = math.ceil(SETTINGS.publish_seconds) + 1
"""In which a keyed request may be on its way."""
A_MOMENT = 0.001
"""The store's writes are microseconds apart."""
TENANT = "acme"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Backends:
    """What gateways share."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.database = MemoryDatabase(self.clock)
        self.jobs = MemoryJobs(self.database)
        self.cache = MemoryCache(self.clock)
        self.broker = MemoryBroker(self.clock)
        names = Names(SETTINGS.prefix)
        self.broker.apply(topology(names, ["default"]))
        self._subscription = names.reader(names.jobs("default", Lane.INTERACTIVE), "worker")

    def published(self) -> list[JobSpec]:
        """The jobs that the broker was given, each as often as it was."""
        return [Envelope.decode(message.body).spec for message in self.broker.undelivered(self._subscription)]

    async def announce(self, *entries: HandlerEntry) -> None:
        await MemoryCatalogue(self.database).announce(entries)

    # A worker's part

    async def claim(self, spec: JobSpec) -> Job:
        job = Job.queued(spec).claimed(attempt=1, fence="f", worker="w", lease_seconds=15, at=self.clock.now())
        assert isinstance(await self.jobs.create(job), Version)
        return job

    async def finish(self, spec: JobSpec, *, succeeds: bool = True, landing: bool = True) -> Job:
        """Run the job to its end. landing: whether the cache learns of it."""
        job = await self.claim(spec)
        at = self.clock.now()
        over = (
            job.succeeded(b'"done"', at=at)
            if succeeds
            else job.failed(JobError(ErrorCode.REJECTED, "no", retryable=False), at=at)
        )
        stored = await self.jobs.read(spec.id)
        assert stored is not None
        await self.jobs.update(over, stored.version)
        if landing and spec.cache_key is not None:
            if succeeds:
                await self.cache.land(spec.cache_key, Result(snapshot(over), spec.cache_for_seconds, 0.0))
            else:
                await self.cache.forget(spec.cache_key, spec.id)
        return over


@dataclass(frozen=True, slots=True)
class Gateway:
    """One process."""

    backends: Backends
    desk: Desk
    aside: Aside
    idempotency: Idempotency

    def order(self, body: dict[str, Any], tenant: str = TENANT) -> Order:
        submission = parse_submission(body, now=self.backends.clock.now())
        return Order(self.desk, tenant, TRACEPARENT, body, submission)

    async def post(self, body: dict[str, Any], tenant: str = TENANT) -> Accepted:
        return await (await self.order(body, tenant).propose()).accept()

    async def post_keyed(
        self, key: str, body: dict[str, Any], tenant: str = TENANT
    ) -> First[Accepted] | Replayed[Accepted]:
        claim = Claim.of(tenant=tenant, route=ROUTE, key=key, body=body)
        return await self.idempotency.once(claim, self.order(body, tenant))


async def gateway(backends: Backends, requests: MemoryIdempotency | None = None) -> Gateway:
    """It knows the handlers. requests: where keyed requests are kept, if not simply in the store."""
    clock, cache, ids, aside = backends.clock, backends.cache, Ids(IdKeys.parse(SETTINGS.id_keys.reveal())), Aside()
    finished = Finished(SETTINGS.finished_bytes, clock)
    statuses = Statuses(
        SETTINGS, ids=ids, finished=finished, cache=cache, store=backends.jobs, retention=Retention(), clock=clock
    )
    handlers = Handlers(MemoryCatalogue(backends.database), clock)
    await handlers.find(PLAIN.name)
    usage = Usage(MemoryPublisher(backends.broker), Names(SETTINGS.prefix).events, clock)
    submitter = Submitter(
        SETTINGS,
        ids=ids,
        handlers=handlers,
        publisher=MemoryPublisher(backends.broker),
        schedules=backends.jobs,
        clock=clock,
        hooks=JobHooks(MemoryTenantHooks(backends.database), Rules(), clock),
        usage=usage,
    )
    recent = MemoryRecent(cache)
    sharing = Sharing(
        flights=cache,
        submitter=submitter,
        statuses=statuses,
        finished=finished,
        recent=recent,
        aside=aside,
        usage=usage,
        answers=Counter("answers", "What the cache said.", ["answer"], registry=CollectorRegistry()),
        clock=clock,
    )
    idempotency = Idempotency(
        SETTINGS, requests=requests or MemoryIdempotency(backends.database), replays=cache, aside=aside, clock=clock
    )
    return Gateway(backends, Desk(submitter, sharing, statuses, recent, clock), aside, idempotency)


def ids(specs: Iterable[JobSpec]) -> list[str]:
    return [spec.id for spec in specs]


async def settled(*gateways: Gateway) -> None:
    """Return when everything that goes on beside requests is done."""
    for each in gateways:
        await each.aside.aclose()


async def refused(call: Awaitable[object], status: int, slug: str) -> Problem:
    """The problem by which the call is refused."""
    with pytest.raises(Problem) as refusal:
        await call
    assert (refusal.value.type.status, refusal.value.type.slug) == (status, slug)
    return refusal.value


def newer(entry: HandlerEntry, version: str) -> HandlerEntry:
    return replace(entry, version=version)
