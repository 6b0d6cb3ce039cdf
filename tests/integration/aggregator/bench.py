"""Aggregator processes on the real emulators and Redis, and what gateways and workers do around them."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.local.backends import Backends
from deploy.local.process import ChildProcess
from deploy.local.services import ServiceSpec
from deploy.local.system import Options, System
from shared.cache.redis.address import Address
from shared.cache.redis.connection import Connection
from shared.cache.redis.snapshots import RedisSnapshots
from shared.clock import SystemClock
from shared.ids import IdKeys, Ids
from shared.messaging.contract import Message
from shared.messaging.pubsub import PubSubChannel, PubSubPublisher, PubSubSource
from shared.messaging.topics import WEBHOOKS, Names
from shared.models import bitmap
from shared.models.batch import Batch, BatchSpec
from shared.models.batch_public import cancel_event, deadline_event, sealed_event
from shared.models.event import Event, job_event
from shared.models.job import ErrorCode, Job, JobError, JobStatus
from shared.storage.batch_contract import change
from shared.storage.contract import Timer, Version
from shared.storage.firestore import FirestoreBatches, FirestoreDatabase, FirestoreJobs, FirestoreStatistics
from tests.contract.storage.storage_subject import PATIENT, new_project

ID_KEYS = f"1:{'ab' * 32}"
AGGREGATORS = (ServiceSpec("aggregator", "services.aggregator", processes=2),)
ENDS = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.EXPIRED)
SECONDS = 90.0
TENANT = "acme"


@dataclass
class Bench:
    system: System
    names: Names
    database: FirestoreDatabase
    publisher: PubSubPublisher
    source: PubSubSource
    cache: RedisSnapshots

    def __post_init__(self) -> None:
        self.batches = FirestoreBatches(self.database)
        self.jobs = FirestoreJobs(self.database)
        self.statistics = FirestoreStatistics(self.database)
        self.ids = Ids(IdKeys.parse(ID_KEYS))
        self.clock = SystemClock()
        self.ends: list[Event] = []

    def process(self, number: int) -> ChildProcess:
        return self.system.processes[f"aggregator-{number}"]

    async def open(self, total: int, *, lives_ms: int = 3_600_000) -> Batch:
        """A sealed batch, of which the aggregators have been told."""
        now = self.clock.now()
        id = self.ids.issue("bat", TENANT, created_at=now, lifetime_ms=3_600_000).text
        spec = BatchSpec(id, TENANT, "text.stats", "default", now, now + lives_ms, 30.0, 5)
        timer = Timer(f"{id}:0", spec.expires_at, self.names.events, b"{}", {})
        assert isinstance(await self.batches.open(Batch(spec), timer), Version)
        batch = await self.change(Batch(spec), lambda found: found.sealed(total, at=now))
        await self.tell(sealed_event(batch, source="gateway"))
        return batch

    async def cancel(self, batch: Batch) -> None:
        after = await self.change(batch, lambda found: found.cancel_requested(at=self.clock.now()))
        await self.tell(cancel_event(after, source="gateway"))

    async def deadline(self, batch: Batch) -> None:
        await self.tell(deadline_event(batch.spec, source="scheduler"))

    async def change(self, batch: Batch, step: Callable[[Batch], Batch]) -> Batch:
        after = await change(self.batches, batch.spec.id, step)
        assert after is not None
        return after

    def item_id(self, batch: Batch, index: int) -> str:
        return self.ids.item(TENANT, batch.spec.id, index).text

    async def begin(self, batch: Batch, index: int, *, lease_seconds: int = 3_600) -> Job:
        spec = batch.spec.item(self.item_id(batch, index), index, b"1")
        job = Job.queued(spec).claimed(
            attempt=1, fence="f", worker="w", lease_seconds=lease_seconds, at=self.clock.now()
        )
        assert isinstance(await self.jobs.create(job), Version)
        return job

    async def end(self, batch: Batch, index: int, status: JobStatus) -> Job:
        """The whole of an item, of which nobody is told."""
        now = self.clock.now()
        spec = batch.spec.item(self.item_id(batch, index), index, b"1")
        job = Job.queued(spec).claimed(attempt=1, fence="f", worker="w", lease_seconds=9, at=now)
        over = _ended(job, status, now)
        assert isinstance(await self.jobs.create(over), Version)
        return over

    async def end_all(self, batch: Batch, indexes: Sequence[int], chance: random.Random) -> list[Event]:
        """Items that end anyhow; their starts and ends, twice each and in no order."""
        jobs = await asyncio.gather(*(self.end(batch, index, chance.choice(ENDS[:2])) for index in indexes))
        at = self.clock.now()
        events = [job_event(job, source="worker", at=at) for job in jobs]
        starts = [replace(event, id=f"{event.data['id']}:job.started:1", type="job.started") for event in events]
        told = [*events, *events, *starts]
        chance.shuffle(told)
        return told

    async def tell(self, *events: Event) -> None:
        messages = [Message(event.encode(), event.attributes) for event in events]
        await asyncio.gather(
            *(self.publisher.publish(self.names.events, each, timeout_seconds=20) for each in messages)
        )

    async def stored(self, batch: Batch) -> Batch:
        found = await self.batches.read(batch.spec.id)
        assert found is not None
        return found.value

    async def until(self, there: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(SECONDS):
            while not await there():
                await asyncio.sleep(0.1)  # the emulators tell nobody of a change

    async def until_over(self, batch: Batch) -> Batch:
        async def over() -> bool:
            return (await self.stored(batch)).status.terminal

        try:
            await self.until(over)
        except TimeoutError:
            raise AssertionError(f"{await self.stored(batch)} is not over") from None
        return await self.stored(batch)

    async def is_what_the_jobs_say(self, batch: Batch, total: int) -> None:
        after = await self.stored(batch)
        stored = await asyncio.gather(*(self.jobs.read(self.item_id(batch, index)) for index in range(total)))
        for status in ENDS:
            truth = bitmap.of(
                index for index, each in enumerate(stored) if each is not None and each.value.status is status
            )
            assert getattr(after.items, str(status)) == truth, status

    async def ends_told(self, batch: Batch) -> set[str]:
        """The ids of the events by which others were told of the batch's end, once there is one."""
        subscription = self.names.reader(self.names.events, WEBHOOKS)

        async def heard() -> bool:
            for each in await self.source.pull(subscription, limit=1_000, wait_seconds=1):
                await self.source.acknowledge(each)
                event = Event.decode(each.message.body)
                if event.type in {"batch.completed", "batch.canceled", "batch.expired"}:
                    self.ends.append(event)
            return any(event.batch == batch.spec.id for event in self.ends)

        await self.until(heard)
        return {event.id for event in self.ends if event.batch == batch.spec.id}


def _ended(job: Job, status: JobStatus, at: int) -> Job:
    if status is JobStatus.SUCCEEDED:
        return job.succeeded(b"1", at=at)
    return job.failed(JobError(ErrorCode.REJECTED, "no", retryable=False), at=at)


@asynccontextmanager
async def bench(backends: Backends, logs: Path) -> AsyncIterator[Bench]:
    prefix = f"a{os.urandom(4).hex()}"
    options = Options(
        logs=logs,
        project=new_project(),
        prefix=prefix,
        given=backends.given(redis_database=5),
        environ={"SLUICE_ID_KEYS": ID_KEYS, "SLUICE_SILENCE_SECONDS": "4", "SLUICE_STATISTICS_SECONDS": "1"},
    )
    redis = Connection(Address.parse(backends.given(redis_database=5).redis), timeout_seconds=5.0, rng=random.Random(1))
    database = FirestoreDatabase(options.project, backends.firestore.address, limits=PATIENT)
    async with System(options, services=AGGREGATORS) as system, redis, database:
        channel = PubSubChannel.open(options.project, emulator=backends.pubsub.address)
        publisher, source = PubSubPublisher(channel), PubSubSource(channel)
        try:
            yield Bench(system, Names(prefix), database, publisher, source, RedisSnapshots(redis))
        finally:
            await publisher.aclose(deadline_seconds=1.0)
            await source.aclose()
            await channel.aclose()


def seconds_since(start: float) -> float:
    return time.monotonic() - start
