"""Aggregators on one store, broker and cache in memory, and a clock that is moved: minutes pass in a moment."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from services.aggregator.app import Adapters, serving
from services.aggregator.settings import Settings
from shared.cache.memory import MemoryCache
from shared.cache.memory_streams import MemoryCancellations
from shared.clock import ManualClock
from shared.config import Secret
from shared.ids import IdKeys, Ids
from shared.lifecycle import Readiness, Runtime
from shared.messaging.contract import Message
from shared.messaging.memory import MemoryBroker, MemoryPublisher, MemorySource
from shared.messaging.topics import AGGREGATOR, Names, topology
from shared.models.batch import Batch, BatchSpec, ReduceSpec
from shared.models.batch_public import cancel_event, deadline_event, sealed_event
from shared.models.event import Event, job_event
from shared.models.job import ErrorCode, Job, JobError, JobStatus
from shared.storage.batch_contract import change
from shared.storage.contract import Timer, Version, WriteResult
from shared.storage.memory import MemoryDatabase, MemoryJobs
from shared.storage.memory_batches import MemoryBatches
from shared.storage.memory_statistics import MemoryStatistics
from shared.telemetry.metrics import Metrics
from shared.telemetry.traces import exporting

ID_KEYS = f"1:{'ab' * 32}"
NAMES = Names()
SUBSCRIPTION = NAMES.reader(NAMES.events, AGGREGATOR)
LISTENER = NAMES.reader(NAMES.events, "webhooks")
HOUR = 3_600_000
ENDS = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.EXPIRED)


class WatchedBatches(MemoryBatches):
    """Batches of which every write is noted. on_write: called behind each, with its number."""

    def __init__(self, database: MemoryDatabase, clock: ManualClock) -> None:
        super().__init__(database)
        self.clock = clock
        self.written: dict[str, list[float]] = defaultdict(list)
        self.on_write: Callable[[], None] = lambda: None

    async def update(self, batch: Batch, held: Version) -> WriteResult:
        result = await super().update(batch, held)
        if isinstance(result, Version):
            self.written[batch.spec.id].append(self.clock.monotonic())
            self.on_write()
        return result


@dataclass
class Instance:
    """One aggregator that runs, until it is killed."""

    task: "asyncio.Task[None]"

    async def kill(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@dataclass
class Bench:
    """changes: to the settings of the aggregators."""

    changes: dict[str, Any] = field(default_factory=dict)
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.database = MemoryDatabase(self.clock)
        self.broker = MemoryBroker(self.clock)
        self.broker.apply(topology(NAMES, ["texts"]))
        self.publisher = MemoryPublisher(self.broker)
        self.cache = MemoryCache(self.clock)
        self.batches = WatchedBatches(self.database, self.clock)
        self.jobs = MemoryJobs(self.database)
        self.statistics = MemoryStatistics(self.database)
        self.calls = MemoryCancellations(self.cache)
        self.ids = Ids(IdKeys.parse(ID_KEYS))
        fields: dict[str, Any] = {"id_keys": Secret(ID_KEYS), "instance": "one", "events": 1_000, "pulls": 4}
        self.settings = Settings(**(fields | self.changes))
        self.instances: list[Instance] = []

    async def start(self) -> Instance:
        ready = asyncio.Event()

        async def live() -> None:
            runtime = Runtime(Metrics(), exporting("aggregator", "test", endpoint="", ratio=0.0), Readiness())
            async with serving(self.settings, runtime, self._adapters()):
                ready.set()
                await asyncio.Event().wait()

        instance = Instance(asyncio.create_task(live()))
        self.instances.append(instance)
        await ready.wait()
        return instance

    async def stop(self) -> None:
        for instance in self.instances:
            await instance.kill()

    def _adapters(self) -> Adapters:
        return Adapters(
            batches=self.batches,
            jobs=self.jobs,
            statistics=self.statistics,
            teller=self.cache,
            caller=self.calls,
            publisher=MemoryPublisher(self.broker),
            source=MemorySource(self.broker, self.clock),
            clock=self.clock,
            checks={},
        )

    # What gateways and workers do

    async def open(self, *, reduce: bool = False, tenant: str = "acme", lives_ms: int = HOUR) -> Batch:
        now = self.clock.now()
        id = self.ids.issue("bat", tenant, created_at=now, lifetime_ms=2 * HOUR).text
        asked = ReduceSpec("sum", "texts", b"{}", timeout_seconds=60.0, max_attempts=3) if reduce else None
        spec = BatchSpec(id, tenant, "text.stats", "texts", now, now + lives_ms, 30.0, 5, reduce=asked)
        batch = Batch(spec)
        timer = Timer(f"{id}:0", spec.expires_at, NAMES.events, b"{}", {})
        assert isinstance(await self.batches.open(batch, timer), Version)
        return batch

    async def seal(self, batch: Batch, total: int) -> None:
        after = await self._change(batch, lambda found: found.sealed(total, at=self.clock.now()))
        await self.tell(sealed_event(after, source="gateway"))

    async def cancel(self, batch: Batch) -> None:
        after = await self._change(batch, lambda found: found.cancel_requested(at=self.clock.now()))
        await self.tell(cancel_event(after, source="gateway"))

    async def deadline(self, batch: Batch) -> None:
        await self.tell(deadline_event(batch.spec, source="gateway"))

    async def begin(self, batch: Batch, index: int, *, lease_seconds: int = 10) -> Job:
        """A worker's claim of an item, of which nobody is told; or what has become of it before."""
        spec = batch.spec.item(self.item_id(batch, index), index, b"1")
        job = Job.queued(spec).claimed(
            attempt=1, fence="f", worker="w", lease_seconds=lease_seconds, at=self.clock.now()
        )
        if isinstance(await self.jobs.create(job), Version):
            return job
        stored = await self.jobs.read(job.spec.id)  # an aggregator was faster
        assert stored is not None
        return stored.value

    async def finish(self, batch: Batch, index: int, status: JobStatus = JobStatus.SUCCEEDED) -> Job:
        """A worker's claim and finish of an item, of which nobody is told."""
        job = await self.begin(batch, index)
        return await self.end(job, status)

    async def end(self, job: Job, status: JobStatus = JobStatus.SUCCEEDED, output: bytes = b"1") -> Job:
        """The end of a job that a worker has claimed; what an aggregator has ended first stays so."""
        while True:
            stored = await self.jobs.read(job.spec.id)
            assert stored is not None
            if stored.value.status.terminal:
                return stored.value
            over = ended(stored.value, status, self.clock.now(), output)
            if isinstance(await self.jobs.update(over, stored.version), Version):
                return over

    async def tell_of(self, job: Job) -> None:
        await self.tell(job_event(job, source="worker", at=self.clock.now()))

    async def tell(self, event: Event) -> None:
        await self.publisher.publish(NAMES.events, Message(event.encode(), event.attributes), timeout_seconds=5)

    async def _change(self, batch: Batch, step: Callable[[Batch], Batch]) -> Batch:
        after = await change(MemoryBatches(self.database), batch.spec.id, step)
        assert after is not None
        return after

    # What is seen

    def item_id(self, batch: Batch, index: int) -> str:
        return self.ids.item(batch.spec.tenant, batch.spec.id, index).text

    async def stored(self, batch: Batch) -> Batch:
        found = await self.batches.read(batch.spec.id)
        assert found is not None
        return found.value

    def heard(self, type: str = "batch.") -> list[Event]:
        """Everything that was told to other listeners, of that type."""
        events = [Event.decode(message.body) for message in self.broker.undelivered(LISTENER)]
        return [event for event in events if event.type.startswith(type)]

    def ends_told(self, batch: Batch) -> list[str]:
        verbs = {"batch.completed", "batch.canceled", "batch.expired"}
        return [event.id for event in self.heard() if event.batch == batch.spec.id and event.type in verbs]

    def waiting(self) -> int:
        """Events that no aggregator has acknowledged."""
        return len(self.broker.undelivered(SUBSCRIPTION))

    async def advance(self, seconds: float, step: float = 0.25) -> None:
        for _ in range(max(1, round(seconds / step))):
            await self.clock.advance(step)

    async def recomputed(self, batch: Batch, total: int) -> dict[JobStatus, Sequence[int]]:
        """The outcomes of the items by their own documents."""
        found: dict[JobStatus, list[int]] = {status: [] for status in ENDS}
        for index in range(total):
            stored = await self.jobs.read(self.item_id(batch, index))
            if stored is not None and stored.value.status.terminal:
                found[stored.value.status].append(index)
        return {status: tuple(indexes) for status, indexes in found.items()}


def ended(job: Job, status: JobStatus, at: int, output: bytes = b"1") -> Job:
    match status:
        case JobStatus.SUCCEEDED:
            return job.succeeded(output, at=at)
        case JobStatus.FAILED:
            return job.failed(JobError(ErrorCode.REJECTED, "no", retryable=False), at=at)
        case JobStatus.CANCELED:
            return job.canceled(at=at)
        case _:
            return job.expired(at=at)


@asynccontextmanager
async def bench(instances: int = 1, **changes: Any) -> AsyncIterator[Bench]:
    """So many aggregators that run. changes: to their settings."""
    made = Bench(changes)
    for _ in range(instances):
        await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def told_all(b: Bench, batch: Batch, count: int, status: JobStatus = JobStatus.SUCCEEDED) -> None:
    """The first `count` items have ended, and it was told."""
    for index in range(count):
        await b.tell_of(await b.finish(batch, index, status))
