"""The routes of batches on a real socket, over one broker, store and cache in memory that tests can take away."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from multidict import CIMultiDict

from services.gateway.access.auth import Authenticator
from services.gateway.access.rates import Limiter
from services.gateway.aside import Aside
from services.gateway.batches.states import AllStates, BatchStates
from services.gateway.catalogue.handlers import Handlers
from services.gateway.http.edge import Edge, RequestIds
from services.gateway.http.patience import Patience
from services.gateway.http.shedding import Lateness
from services.gateway.jobs.cancel import Telling
from services.gateway.jobs.delete import Cleaner, Deletes
from services.gateway.jobs.finished import Finished
from services.gateway.jobs.hooks import JobHooks
from services.gateway.jobs.idempotency import Idempotency
from services.gateway.jobs.status import Statuses
from services.gateway.jobs.waiting import Waiting
from services.gateway.routes import Door, batches_table, mount
from services.gateway.server import serving
from services.gateway.settings import Settings
from services.gateway.wiring.batches import BatchParts, BatchStores, batch_endpoints
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
from shared.models.batch import Batch
from shared.models.batch_items import Items
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


class World:
    """What outlives a gateway: everything that it stands on, in memory. changed: settings."""

    def __init__(self, **changed: Any) -> None:
        self.settings = Settings(id_keys=Secret(ID_KEYS), port=0, **changed)
        self.clock = ManualClock()
        self.system_clock = SystemClock()
        self.database = MemoryDatabase(self.clock)
        self.broker = MemoryBroker(self.system_clock)
        self.broker.apply(topology(NAMES, ["texts", "merges"]))
        self.publisher = Publisher(self.broker)
        self.cache = MemoryCache(self.system_clock)
        self.batches = MemoryBatches(self.database)
        self.chunks = MemoryChunks(self.database)
        self.jobs = MemoryJobs(self.database)
        self.items = MemoryJobLists(self.database)
        self.timers = MemoryTimers(self.database)
        self.keys = IdKeys.parse(ID_KEYS)
        self.ids = Ids(self.keys)
        self.aside = Aside()

    async def settle(self) -> dict[str, str]:
        """Announce handlers, and give each tenant a key, acme a secret for webhooks too. The tokens by tenant."""
        await MemoryCatalogue(self.database).announce([STATS, SUM, MERGE])
        await MemoryTenantHooks(self.database).put_secrets(TenantHooks("acme", (SealedSecret(b"x"),)), None)
        return {tenant: await _token(self.database, tenant) for tenant in ("acme", "globex")}


@dataclass
class Bench:
    """A gateway on its world, whose parts are this one's too."""

    world: World
    url: str
    session: aiohttp.ClientSession
    waiting: Waiting
    tokens: dict[str, str]

    def __post_init__(self) -> None:
        world = self.world
        self.clock, self.database, self.cache = world.clock, world.database, world.cache
        self.broker, self.publisher, self.ids = world.broker, world.publisher, world.ids
        self.batches, self.chunks, self.timers = world.batches, world.chunks, world.timers
        self.jobs, self.items = world.jobs, world.items

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
    world = World(**changed)
    tokens, settings, clock = await world.settle(), world.settings, world.system_clock
    lateness, runtime = Lateness(clock, list), Runtime(Metrics(), Traces(), Readiness())
    edge, patience = Edge(runtime, RequestIds(), lateness), Patience(settings.head_seconds, clock)
    limiter = Limiter(settings, Tokens(), clock)
    parts = _parts(world, limiter)
    app = web.Application(middlewares=[edge.middleware()], client_max_size=settings.max_body_bytes + 1)
    door = Door(Authenticator(MemoryKeys(world.database), clock), limiter)
    mount(app, batches_table(batch_endpoints(settings, parts)), [], door)
    async with (
        running(*parts.waiting.follow(), patience.sweep()),
        aclosing(world.aside),
        serving(settings, app, edge, NoLane(), patience) as server,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
    ):
        yield Bench(world, f"http://127.0.0.1:{server.port}", session, parts.waiting, tokens)


def _parts(world: World, limiter: Limiter) -> BatchParts:
    settings, cache, clock, retention = world.settings, world.cache, world.clock, Retention()
    finished = Finished(settings.finished_bytes, world.system_clock)
    known: dict[str, Any] = {
        "ids": world.ids,
        "finished": finished,
        "cache": cache,
        "retention": retention,
        "clock": clock,
    }
    states = BatchStates(settings, store=world.batches, **known)
    statuses = Statuses(settings, store=world.jobs, **known)
    waiting = Waiting(
        settings,
        cache=cache,
        statuses=AllStates(statuses, states),
        finished=finished,
        clock=world.system_clock,
        chance=lambda: 0.5,
    )
    requests = MemoryIdempotency(world.database)
    return BatchParts(
        stores=BatchStores(world.batches, world.chunks, world.items),
        publisher=world.publisher,
        cache=cache,
        keys=world.keys,
        states=states,
        finished=finished,
        retention=retention,
        handlers=Handlers(MemoryCatalogue(world.database), world.system_clock),
        hooks=JobHooks(MemoryTenantHooks(world.database), Rules(), world.system_clock),
        limiter=limiter,
        waiting=waiting,
        idempotency=Idempotency(settings, requests=requests, replays=cache, aside=world.aside, clock=clock),
        aside=world.aside,
        erase_job=_deletes(world, statuses, finished).erase,
        clock=clock,
    )


def _deletes(world: World, statuses: Statuses, finished: Finished) -> Deletes:
    cache = world.cache
    telling = Telling(
        world.settings,
        teller=cache,
        flights=cache,
        caller=MemoryCancellations(cache),
        publisher=world.publisher,
        aside=world.aside,
        clock=world.clock,
    )
    return Deletes(
        statuses=statuses,
        finished=finished,
        store=world.jobs,
        timers=world.timers,
        telling=telling,
        cleaner=Cleaner(eraser=cache, flights=cache, recent=MemoryRecent(cache), clock=world.system_clock),
        retention=Retention(),
        clock=world.clock,
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
