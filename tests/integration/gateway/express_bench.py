"""A gateway's express lane on a real socket, before an application that only says that it was asked."""

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import orjson
from aiohttp import web

from services.gateway.access.auth import Authenticator
from services.gateway.access.rates import Limiter
from services.gateway.express.admission import Admission
from services.gateway.express.holding import Holding
from services.gateway.express.lane import Express
from services.gateway.express.posts import Posts
from services.gateway.express.reads import Reads
from services.gateway.http.edge import Edge, RequestIds
from services.gateway.http.patience import Patience
from services.gateway.http.shedding import Lateness
from services.gateway.jobs.finished import Finished
from services.gateway.jobs.posting import Posting
from services.gateway.jobs.progress import Progress
from services.gateway.jobs.status import Statuses
from services.gateway.jobs.waiting import Waiting
from services.gateway.server import serving
from services.gateway.settings import Settings
from services.gateway.statistics.run_times import RunTimes
from shared.cache.contract import Grant
from shared.cache.gcra import LocalRates
from shared.cache.memory_streams import MemoryStreams
from shared.clock import SystemClock
from shared.config import Secret
from shared.ids import IdKeys, Ids
from shared.lifecycle import Readiness, Runtime, running
from shared.models.job import Job, JobSpec, Retention
from shared.models.key import SCOPES, ApiKey
from shared.models.public import Snapshot, snapshot
from shared.storage.memory import MemoryKeys
from shared.storage.memory_statistics import MemoryStatistics
from shared.telemetry.metrics import LOOP_STALLS, Metrics
from shared.telemetry.traces import Traces
from tests.unit.services.gateway.backends import CACHED, PLAIN, SETTINGS, TENANT, Backends, Gateway, gateway

TOKEN = f"sk_k1_{'s' * 32}"
APPLICATION = 299
"""What the application answers."""


class Tokens:
    """`Rates`, of one process."""

    def __init__(self) -> None:
        self._local = LocalRates(SystemClock())

    async def lease(self, key: str, *, per_second: int, burst: int, wanted: int) -> Grant:
        return self._local.take(key, per_second=per_second, burst=burst, wanted=wanted)


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        """Names of headers with `_` for `-`."""
        given = {"Host": "x", "Authorization": f"Bearer {TOKEN}"}
        if body:
            given |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
        self.write("\r\n".join(lines).encode() + body)

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def leave(self) -> None:
        self._writer.transport.abort()

    async def reply(self) -> Reply:
        async with asyncio.timeout(10):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            body = await self._reader.readexactly(int(headers.get("Content-Length", 0)))
        return Reply(int(head[0].split(" ")[1]), headers, body)

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        self.send(method, path, body, **headers)
        return await self.reply()

    async def end(self) -> bytes:
        """What comes until the other side closes."""
        async with asyncio.timeout(10):
            return await self._reader.read()


@dataclass
class Bench:
    port: int
    backends: Backends
    gateway: Gateway
    ids: Ids
    waiting: Waiting
    finished: Finished
    edge: Edge
    run_times: RunTimes

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Client]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()

    def queued(self, tenant: str = TENANT) -> Job:
        """A job that was accepted."""
        issued = self.ids.issue("job", tenant, created_at=self.backends.clock.now(), lifetime_ms=86_400_000)
        return Job.queued(JobSpec(issued.text, tenant, "h", "q", b"1", issued.created_at, issued.expires_at, 30.0, 5))

    def running(self, job: Job) -> Job:
        return job.claimed(attempt=1, fence="f", worker="w", lease_seconds=15, at=self.backends.clock.now())

    def over(self, job: Job) -> Snapshot:
        """It has succeeded."""
        return snapshot(self.running(job).succeeded(b'"done"', at=self.backends.clock.now()))

    async def until_held(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.waiting.count != count:
                await asyncio.sleep(0.005)


@asynccontextmanager
async def express_bench(settings: Settings | None = None) -> AsyncIterator[Bench]:
    backends, settings = Backends(), settings or Settings(id_keys=Secret(SETTINGS.id_keys.reveal()), port=0)
    await backends.announce(CACHED, PLAIN)
    gate, clock, ids = await gateway(backends), SystemClock(), Ids(IdKeys.parse(settings.id_keys.reveal()))
    secret = TOKEN.rsplit("_", 1)[1]
    key = ApiKey("k1", TENANT, hashlib.sha256(secret.encode()).digest(), SCOPES)
    await MemoryKeys(backends.database).put(key)
    finished = Finished(settings.finished_bytes, clock)
    statuses = Statuses(
        settings,
        ids=ids,
        finished=finished,
        cache=backends.cache,
        store=backends.jobs,
        retention=Retention(),
        clock=backends.clock,
    )
    waiting = Waiting(
        settings, cache=backends.cache, statuses=statuses, finished=finished, clock=clock, chance=lambda: 0.5
    )
    runtime = Runtime(Metrics(), Traces(), Readiness())
    lateness = Lateness(clock, runtime.metrics.counter(LOOP_STALLS).inc)
    edge = Edge(runtime, RequestIds(), lateness)
    authenticator, limiter = (
        Authenticator(MemoryKeys(backends.database), backends.clock),
        Limiter(settings, Tokens(), clock),
    )
    await authenticator.authenticate(f"Bearer {TOKEN}", "jobs:read")
    progress = Progress(MemoryStreams(backends.cache))
    run_times = RunTimes(MemoryStatistics(backends.database), clock, itertools.cycle((0.0, 0.5, 1.0)).__next__)
    posting = Posting(
        settings,
        desk=gate.desk,
        idempotency=gate.idempotency,
        waiting=waiting,
        progress=progress,
        run_times=run_times,
    )
    admission = Admission(authenticator, limiter, lateness, edge, runtime.traces)
    holding = Holding(waiting=waiting, progress=progress, edge=edge)
    posts = Posts(
        admission=admission,
        posting=posting,
        statuses=statuses,
        holding=holding,
        edge=edge,
        max_body_bytes=settings.max_body_bytes,
    )
    reads = Reads(admission=admission, statuses=statuses, holding=holding, edge=edge, run_times=run_times)
    lane = Express(reads, posts)
    app, patience = web.Application(), Patience(settings.head_seconds, clock)
    app.router.add_route("*", "/{path:.*}", _application)
    async with (
        running(*waiting.follow(), patience.sweep()),
        aclosing(holding),
        aclosing(posts),
        serving(settings, app, edge, lane, patience) as server,
    ):
        await limiter.admit(key)
        yield Bench(server.port, backends, gate, ids, waiting, finished, edge, run_times)


async def _application(request: web.Request) -> web.Response:
    if request.path == "/slow":
        await asyncio.sleep(0.1)
    return web.json_response({"body": len(await request.read())}, status=APPLICATION)


def order(**fields: object) -> bytes:
    """The body of a request for a job."""
    return orjson.dumps({"handler": "plain", "input": {"a": 1}, **fields})
