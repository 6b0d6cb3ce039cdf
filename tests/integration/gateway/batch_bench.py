"""The routes of batches on a real socket, over one broker, store and cache in memory that tests can take away."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from multidict import CIMultiDict

from services.gateway.aside import Aside
from services.gateway.auth import Authenticator
from services.gateway.batch_wiring import BatchParts, BatchStores, batch_endpoints
from services.gateway.batches.states import AllStates, BatchStates
from services.gateway.cancel import Telling
from services.gateway.delete import Cleaner, Deletes
from services.gateway.edge import Edge, RequestIds
from services.gateway.finished import Finished
from services.gateway.handlers import Handlers
from services.gateway.idempotency import Idempotency
from services.gateway.job_hooks import JobHooks
from services.gateway.patience import Patience
from services.gateway.rates import Limiter
from services.gateway.routes import Door, batches_table, mount
from services.gateway.server import serving
from services.gateway.settings import Settings
from services.gateway.shedding import Lateness
from services.gateway.status import Statuses
from services.gateway.waiting import Waiting
from shared.cache.memory import MemoryCache
from shared.cache.memory_streams import MemoryCancellations, MemoryRecent
from shared.clock import ManualClock, SystemClock
from shared.config import Secret
from shared.egress import Rules
from shared.ids import IdKeys, Ids
from shared.lifecycle import Readiness, Runtime, running
from shared.messaging.contract import Message
from shared.messaging.memory import MemoryBroker, MemoryPublisher
from shared.messaging.topics import Names, topology
from shared.models.batch import Batch, Items
from shared.models.batch_public import batch_snapshot
from shared.models.envelope import Envelope
from shared.models.event import Event
from shared.models.handler import HandlerEntry
from shared.models.job import Job, JobSpec, Lane, Retention
from shared.models.key import SCOPES, ApiKey
from shared.models.webhook import SealedSecret, TenantHooks
from shared.storage.batch_contract import change, uploaded
from shared.storage.memory import (
    MemoryCatalogue,
    MemoryDatabase,
    MemoryIdempotency,
    MemoryJobLists,
    MemoryJobs,
    MemoryKeys,
    MemoryTimers,
)
from shared.storage.memory_batches import MemoryBatches, MemoryChunks
from shared.storage.memory_webhooks import MemoryTenantHooks
from shared.telemetry.metrics import Metrics
from shared.telemetry.traces import Traces
from tests.integration.gateway.express_bench import Tokens

ID_KEYS = "1:" + "ab" * 32
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
STATS = HandlerEntry("text.stats", "texts", "1", TEXT, {}, 30.0, 5, cache_for_seconds=60)
SUM = HandlerEntry("sum", "", "1", {"type": "object", "required": ["field"]}, {}, 60.0, 3, 0, reduces=True)
MERGE = replace(SUM, name="text.merge", queue="merges")
NAMES = Names()


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [orjson.loads(line) for line in self.body.splitlines()]


class Publisher(MemoryPublisher):
    """Also does what a test wants before each group is published."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.before: Callable[[Sequence[Message]], Any] | None = None
        self.at_once = self.most_at_once = 0

    async def publish_all(self, topic: str, messages: Sequence[Message], *, timeout_seconds: float) -> None:
        if not NAMES.is_jobs(topic):
            return await self._now(topic, messages, timeout_seconds)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self._now(topic, messages, timeout_seconds)
        finally:
            self.at_once -= 1

    async def _now(self, topic: str, messages: Sequence[Message], timeout_seconds: float) -> None:
        if self.before is not None:
            await self.before(messages)
        await super().publish_all(topic, messages, timeout_seconds=timeout_seconds)


@dataclass
class Bench:
    url: str
    session: aiohttp.ClientSession
    clock: ManualClock
    database: MemoryDatabase
    broker: MemoryBroker
    publisher: Publisher
    cache: MemoryCache
    batches: MemoryBatches
    chunks: MemoryChunks
    jobs: MemoryJobs
    items: MemoryJobLists
    timers: MemoryTimers
    ids: Ids
    waiting: Waiting
    aside: Aside
    tokens: dict[str, str] = field(default_factory=dict)

    async def ask(self, method: str, path: str, *, tenant: str = "acme", **more: Any) -> Answer:
        headers = {"Authorization": f"Bearer {self.tokens[tenant]}", **more.pop("headers", {})}
        async with self.session.request(method, self.url + path, headers=headers, **more) as response:
            return Answer(response.status, CIMultiDict(response.headers), await response.read())

    async def post(self, inputs: Iterable[Any], *, key: str = "", **more: Any) -> Answer:
        """As JSON."""
        headers = {"Idempotency-Key": key} if key else {}
        body = {"handler": "text.stats", "inputs": list(inputs), **more}
        return await self.ask("POST", "/v1/batches", json=body, headers=headers)

    async def upload(self, lines: Any, *, key: str = "", query: str = "handler=text.stats", **more: Any) -> Answer:
        """As lines. lines: bytes, or an iterator of them."""
        headers = {"Content-Type": "application/x-ndjson", **({"Idempotency-Key": key} if key else {})}
        return await self.ask("POST", f"/v1/batches?{query}", data=lines, headers=headers, **more)

    # What came of it

    def published(self, queue: str = "texts") -> list[JobSpec]:
        """The items that the broker was given, each as often as it was."""
        subscription = NAMES.reader(NAMES.jobs(queue, Lane.BULK), "worker")
        return [Envelope.decode(message.body).spec for message in self.broker.undelivered(subscription)]

    def often(self) -> Counter[int]:
        """How often each index was published."""
        return Counter(spec.index for spec in self.published() if spec.index is not None)

    def events(self) -> list[Event]:
        subscription = NAMES.reader(NAMES.events, "webhooks")
        return [Event.decode(message.body) for message in self.broker.undelivered(subscription)]

    async def batch(self, id: str) -> Batch:
        found = await self.batches.read(id)
        assert found is not None
        return found.value

    async def remembered(self, id: str) -> list[tuple[int, int, bool]]:
        return [(each.first, each.items, each.published) for each in await uploaded(self.chunks, id)]

    # An aggregator's and a worker's part

    async def merge(self, id: str, items: Items, *, over: bool = True) -> Batch:
        """over: conclude the batch if it is."""
        at = self.clock.now()
        after = await change(
            self.batches, id, lambda each: each.merged(items).concluded(at=at) if over else each.merged(items)
        )
        assert after is not None
        await self.cache.tell(batch_snapshot(after))
        return after

    async def finish(self, spec: JobSpec, output: bytes = b'"done"') -> Job:
        job = Job.queued(spec).claimed(attempt=1, fence="f", worker="w", lease_seconds=15, at=self.clock.now())
        over = job.succeeded(output, at=self.clock.now())
        await self.jobs.create(over)
        return over


@asynccontextmanager
async def batch_bench(**changed: Any) -> AsyncIterator[Bench]:
    """changed: settings."""
    settings = Settings(id_keys=Secret(ID_KEYS), port=0, **changed)
    store_clock, clock, keys = ManualClock(), SystemClock(), IdKeys.parse(ID_KEYS)
    database, cache, broker = MemoryDatabase(store_clock), MemoryCache(clock), MemoryBroker(clock)
    broker.apply(topology(NAMES, ["texts", "merges"]))
    await MemoryCatalogue(database).announce([STATS, SUM, MERGE])
    hooks = TenantHooks("acme", (SealedSecret(b"x"),))
    await MemoryTenantHooks(database).put_secrets(hooks, None)
    publisher, retention, finished = Publisher(broker), Retention(), Finished(settings.finished_bytes, clock)
    batches, jobs, ids, aside = MemoryBatches(database), MemoryJobs(database), Ids(keys), Aside()
    states = BatchStates(
        settings, ids=ids, finished=finished, cache=cache, store=batches, retention=retention, clock=store_clock
    )
    statuses = Statuses(
        settings, ids=ids, finished=finished, cache=cache, store=jobs, retention=retention, clock=store_clock
    )
    waiting = Waiting(
        settings,
        cache=cache,
        statuses=AllStates(statuses, states),
        finished=finished,
        clock=clock,
        chance=lambda: 0.5,
    )
    cleaner = Cleaner(eraser=cache, flights=cache, recent=MemoryRecent(cache), clock=clock)
    deletes = Deletes(
        statuses=statuses,
        finished=finished,
        store=jobs,
        timers=MemoryTimers(database),
        telling=Telling(
            settings,
            teller=cache,
            flights=cache,
            caller=MemoryCancellations(cache),
            publisher=publisher,
            aside=aside,
            clock=store_clock,
        ),
        cleaner=cleaner,
        retention=retention,
        clock=store_clock,
    )
    chunks, items = MemoryChunks(database), MemoryJobLists(database)
    limiter = Limiter(settings, Tokens(), clock)
    parts = BatchParts(
        stores=BatchStores(batches, chunks, items),
        publisher=publisher,
        cache=cache,
        keys=keys,
        states=states,
        finished=finished,
        retention=retention,
        handlers=Handlers(MemoryCatalogue(database), clock),
        hooks=JobHooks(MemoryTenantHooks(database), Rules(), clock),
        limiter=limiter,
        waiting=waiting,
        idempotency=Idempotency(
            settings, requests=MemoryIdempotency(database), replays=cache, aside=aside, clock=store_clock
        ),
        aside=aside,
        erase_job=deletes.erase,
        clock=store_clock,
    )
    tokens = {tenant: await _token(database, tenant) for tenant in ("acme", "globex")}
    lateness, runtime = Lateness(clock, list), Runtime(Metrics(), Traces(), Readiness())
    edge, patience = Edge(runtime, RequestIds(), lateness), Patience(settings.head_seconds, clock)
    app = web.Application(middlewares=[edge.middleware()], client_max_size=settings.max_body_bytes + 1)
    door = Door(Authenticator(MemoryKeys(database), clock), limiter)
    mount(app, batches_table(batch_endpoints(settings, parts)), [], door)
    async with (
        running(*waiting.follow(), patience.sweep()),
        aclosing(aside),
        serving(settings, app, edge, NoLane(), patience) as server,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
    ):
        yield Bench(
            f"http://127.0.0.1:{server.port}",
            session,
            store_clock,
            database,
            broker,
            publisher,
            cache,
            batches,
            chunks,
            jobs,
            items,
            MemoryTimers(database),
            ids,
            waiting,
            aside,
            tokens,
        )


class NoLane:
    """Everything is the application's."""

    def take(self, *_request: Any) -> bool:
        return False


async def _token(database: MemoryDatabase, tenant: str) -> str:
    secret = f"{tenant:s<32}"
    key = ApiKey(tenant, tenant, hashlib.sha256(secret.encode()).digest(), SCOPES)
    await MemoryKeys(database).put(key)
    return f"sk_{tenant}_{secret}"


def texts(count: int, start: int = 0) -> list[dict[str, str]]:
    return [{"text": f"t{number}"} for number in range(start, start + count)]


def ndjson(values: Iterable[Any]) -> bytes:
    return b"".join(orjson.dumps(value) + b"\n" for value in values)


async def until(condition: Callable[[], Any], *, seconds: float = 15.0) -> None:
    """AssertionError when it has not come true within so many seconds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
