"""W1: deliveries a second of one webhooks process to endpoints that answer at once, and what one costs in CPU.

Events go straight to the topic, each for several endpoints; the limits of a single endpoint are lifted. The endpoints
are a few lines of this process, so that what is measured is the service, and the emulators that it writes to.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import aiohttp

from shared.ids import IdKeys, Ids
from shared.messaging.contract import Message
from shared.messaging.pubsub import PubSubChannel, PubSubPublisher
from shared.messaging.topics import Names
from shared.models.event import Event
from tests.load.bench import meter
from tests.load.client import UnpreparedError
from tests.load.results import Quantity, Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from deploy.local.system import System
    from tests.load.bench import Bench

ENDPOINTS: Final = 8
EVENTS: Final = 1_000
"""In a run; each is delivered to every endpoint."""
PATIENCE_SECONDS: Final = 120.0
LIFTED: Final = {
    "SLUICE_WEBHOOKS_ALLOW_LOCAL": "1",
    "SLUICE_ENDPOINT_RATE": "100000",
    "SLUICE_ENDPOINT_BURST": "100000",
    "SLUICE_ENDPOINT_SLOTS": "32",
    "SLUICE_ENDPOINT_BACKLOG": "2000",
    "SLUICE_BACKLOG": "20000",
    "SLUICE_LOG_LEVEL": "WARNING",
}

QUANTITIES: Final = (
    Quantity("deliveries_per_s", f"deliveries to {ENDPOINTS} fast endpoints, one process", "/s"),
    Quantity("cpu_ms", "webhooks, CPU a delivery", "ms"),
    Quantity("backends_cpu_ms", "emulators, CPU a delivery", "ms"),
)


class _Taker(asyncio.Protocol):
    """Answers 200 to each request whose whole head and body have come; counts."""

    count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._held = b""

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = self._held[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            if len(self._held) < end + 4 + length:
                return
            self._held = self._held[end + 4 + length :]
            _Taker.count += 1
            assert isinstance(self._transport, asyncio.Transport)
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def measure(bench: Bench) -> list[Row]:
    row = Row("W1", "Webhook deliveries", QUANTITIES)
    async with bench.system("w1", environ=LIFTED) as system, _taking() as port, _publishing(system) as publisher:
        await _register(system, port)
        await _deliver(system, publisher, 50)  # so that connections and caches are as in the middle of a day
        for _ in range(bench.arguments.runs):
            used, began = meter(system), time.monotonic()
            await _deliver(system, publisher, EVENTS)
            took, cpu, count = time.monotonic() - began, used.read(), EVENTS * ENDPOINTS
            row.add({"deliveries_per_s": count / took})
            row.add({"cpu_ms": cpu["webhooks"] / count * 1e3})
            row.add({"backends_cpu_ms": sum(cpu.get(name, 0.0) for name in ("pubsub", "firestore")) / count * 1e3})
    return [row]


async def _deliver(system: System, publisher: PubSubPublisher, events: int) -> None:
    """Publish so many events, and return when every endpoint has had each."""
    wanted = _Taker.count + events * ENDPOINTS
    topic, made = Names(system.options.prefix).events, _events(system, events)
    await asyncio.gather(
        *(publisher.publish(topic, Message(each.encode(), each.attributes), timeout_seconds=30) for each in made)
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while _Taker.count < wanted:
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise UnpreparedError(f"{wanted - _Taker.count} deliveries did not come") from None


def _events(system: System, count: int) -> list[Event]:
    tenant, now = system.keys[0].tenant, time.time_ns() // 1_000_000
    ids = Ids(IdKeys.parse(system.environ()["SLUICE_ID_KEYS"]))
    jobs = [ids.issue("job", tenant, created_at=now, lifetime_ms=86_400_000).text for _ in range(count)]
    data = {"handler": "debug.echo", "status": "succeeded", "attempt": 1, "labels": {}, "created_at": now}
    return [
        Event(f"{job}:job.succeeded:1", "job.succeeded", "/sluice/worker", now, tenant, None, {"id": job, **data})
        for job in jobs
    ]


@asynccontextmanager
async def _taking() -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(_Taker, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def _publishing(system: System) -> AsyncIterator[PubSubPublisher]:
    channel = PubSubChannel.open(system.options.project, emulator=system.backends.pubsub.address)
    publisher = PubSubPublisher(channel)
    try:
        yield publisher
    finally:
        await publisher.aclose(deadline_seconds=1)
        await channel.aclose()


async def _register(system: System, port: int) -> None:
    headers = {"Authorization": f"Bearer {system.keys[0].token}"}
    async with aiohttp.ClientSession(system.base_url, headers=headers) as session:
        for n in range(ENDPOINTS):
            url = f"http://e{n}.localhost:{port}/"
            async with session.post("/v1/webhooks", json={"url": url}) as answer:
                if answer.status != 201:
                    raise UnpreparedError(f"an endpoint was answered {answer.status}")
