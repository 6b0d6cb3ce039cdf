"""A worker on the real emulators, and batches whose items are over, as its reducers meet them."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from deploy.admin import topology as admin
from deploy.local.backends import Backends
from services.worker.app import Adapters, connected, serving
from services.worker.settings import Settings
from shared.config import Secret
from shared.ids import IdKeys, Ids
from shared.lifecycle import Readiness, Runtime
from shared.messaging.contract import Message
from shared.messaging.topics import WEBHOOKS, Names, topology
from shared.models import bitmap
from shared.models.batch import Batch, BatchSpec, BatchStatus, ReduceSpec
from shared.models.batch_items import Items
from shared.models.envelope import Envelope
from shared.models.event import Event
from shared.models.job import ErrorCode, Job, JobError, JobSpec
from shared.storage.contract import Timer, Version
from shared.storage.firestore import FirestoreBatches, FirestoreDatabase, FirestoreJobs, Limits
from shared.telemetry.metrics import Metrics
from shared.telemetry.traces import exporting

ID_KEYS = f"1:{'ab' * 32}"
QUEUE, TENANT = "reducing", "acme"
DAY_MS = 86_400_000
PATIENT = 60.0
ITEMS_AT_ONCE = 250
HANDLERS = ("tests.integration.worker_reduce.reducing:handlers",)

NO_OUTPUT = None
"""In place of an output: the item has failed."""


@dataclass(frozen=True)
class Bench:
    settings: Settings
    adapters: Adapters
    jobs: FirestoreJobs
    batches: FirestoreBatches
    ids: Ids

    async def batch(
        self, outputs: Sequence[object], handler: str, options: object = None, *, timeout: float = 60.0
    ) -> Batch:
        """A batch whose items have returned `outputs`; each is bytes of JSON, a value, or NO_OUTPUT."""
        now = self.adapters.clock.now()
        reduce = ReduceSpec(handler, QUEUE, orjson.dumps(options or {}), timeout, 2)
        id = self.ids.issue("bat", TENANT, created_at=now, lifetime_ms=DAY_MS).text
        spec = BatchSpec(id, TENANT, "item.now", QUEUE, now, now + DAY_MS, 30.0, 3, reduce=reduce)
        there = bitmap.of(index for index, output in enumerate(outputs) if output is not NO_OUTPUT)
        items = Items(succeeded=there, failed=bitmap.full(len(outputs)) & ~there)
        batch = Batch(spec, BatchStatus.RUNNING, total=len(outputs), items=items, sealed_at=now)
        for start in range(0, len(outputs), ITEMS_AT_ONCE):
            some = enumerate(outputs[start : start + ITEMS_AT_ONCE], start)
            await asyncio.gather(*[self._item(spec, index, output) for index, output in some])
        await self.keep(batch)
        return batch

    async def keep(self, batch: Batch) -> None:
        """Write a new batch, as if it had come so far."""
        spec = batch.spec
        timer = Timer(f"{spec.id}:0", spec.expires_at, Names(self.settings.prefix).events, b"{}", {})
        assert isinstance(await self.batches.open(batch, timer), Version)

    async def _item(self, spec: BatchSpec, index: int, output: object) -> None:
        job = Job.queued(spec.item(self.ids.item(TENANT, spec.id, index).text, index, b"1"))
        job = job.claimed(attempt=1, fence="f", worker="w", lease_seconds=10, at=spec.created_at)
        if output is NO_OUTPUT:
            over = job.failed(JobError(ErrorCode.REJECTED, "no", retryable=False), at=spec.created_at)
        else:
            over = job.succeeded(output if isinstance(output, bytes) else orjson.dumps(output), at=spec.created_at)
        assert isinstance(await self.jobs.create(over), Version)

    async def publish(self, spec: JobSpec, attempt: int = 1) -> None:
        envelope = Envelope(spec, attempt)
        topic = Names(self.settings.prefix).jobs(spec.queue, spec.lane)
        await self.adapters.publisher.publish(
            topic, Message(envelope.encode(), envelope.attributes), timeout_seconds=10
        )

    def reduction(self, batch: Batch) -> JobSpec:
        return batch.spec.reduction(self.ids.reduction(TENANT, batch.spec.id).text)

    async def reduce(self, outputs: Sequence[object], handler: str, options: object = None, **more: Any) -> Job:
        """The job of the reduction once it is over."""
        spec = self.reduction(await self.batch(outputs, handler, options, **more))
        await self.publish(spec)
        return await self.over(spec.id)

    async def job(self, id: str) -> Job | None:
        stored = await self.jobs.read(id)
        return None if stored is None else stored.value

    async def over(self, id: str) -> Job:
        return await self.until(id, lambda job: job.status.terminal)

    async def until(self, id: str, condition: Callable[[Job], bool]) -> Job:
        """The job once it is so."""
        found: list[Job] = []

        async def so() -> bool:
            job = await self.job(id)
            found[:] = [job] if job is not None else []
            return job is not None and condition(job)

        await until(so)
        return found[0]

    async def events(self, count: int) -> list[Event]:
        """So many events, in any order."""
        names, found = Names(self.settings.prefix), dict[str, Event]()
        async with asyncio.timeout(PATIENT):
            while len(found) < count:
                subscription = names.reader(names.events, WEBHOOKS)
                for delivery in await self.adapters.source.pull(subscription, limit=100, wait_seconds=1.0):
                    event = Event.decode(delivery.message.body)
                    assert delivery.message.attributes["batch"] == event.batch
                    found[event.id] = event
                    await self.adapters.source.acknowledge(delivery)
        return list(found.values())


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENT):
        while not await condition():
            await asyncio.sleep(0.02)


async def until_lines(path: Path, count: int) -> list[int]:
    """The numbers in a file, one a line, once there are so many."""

    async def there() -> bool:
        return len(_lines(path)) >= count

    await until(there)
    return _lines(path)


def _lines(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def settings_for(backends: Backends, **changes: Any) -> Settings:
    fields: dict[str, Any] = {
        "project": f"r{os.urandom(6).hex()}",
        "pubsub_emulator": backends.pubsub.address,
        "firestore_emulator": backends.firestore.address,
        "redis_url": backends.redis.address,
        "id_keys": Secret(ID_KEYS),
        "instance": f"one-{os.urandom(4).hex()}",
        "handlers": HANDLERS,
        "processes": 1,
        "lease_seconds": 4,
        "retry_base_seconds": 0.01,
    }
    return Settings(**(fields | changes))


@contextmanager
def worker_process(settings: Settings) -> "Iterator[subprocess.Popen[bytes]]":
    """A worker in a process of its own, on the same backends; killed at the end, if it was not before."""
    environ = {
        **os.environ,
        "SLUICE_PROJECT": settings.project,
        "SLUICE_HANDLERS": ",".join(settings.handlers),
        "SLUICE_ID_KEYS": ID_KEYS,
        "SLUICE_LEASE_SECONDS": str(settings.lease_seconds),
        "PUBSUB_EMULATOR_HOST": settings.pubsub_emulator,
        "FIRESTORE_EMULATOR_HOST": settings.firestore_emulator,
        "REDIS_URL": settings.redis_url,
    }
    command = [sys.executable, "-m", "services.worker"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def bench(
    backends: Backends,
    altered: Callable[[Adapters], Adapters] = lambda adapters: adapters,
    queue: str = QUEUE,
    **changes: Any,
) -> AsyncIterator[Bench]:
    """altered: what the worker gets in place of its adapters."""
    settings = settings_for(backends, **changes)
    names = Names(settings.prefix)
    await admin.apply(topology(names, [queue]), project=settings.project, emulator=settings.pubsub_emulator)
    runtime = Runtime(Metrics(), exporting("worker", "test", endpoint="", ratio=0.0), Readiness())
    async with (
        FirestoreDatabase(settings.project, settings.firestore_emulator, limits=Limits(PATIENT)) as database,
        connected(settings) as adapters,
        serving(settings, runtime, altered(adapters)) as service,
    ):
        ids = Ids(IdKeys.parse(ID_KEYS))
        yield Bench(settings, adapters, FirestoreJobs(database), FirestoreBatches(database), ids)
        await service.stop_taking()
        await service.drain(3.0)
