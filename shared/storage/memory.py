"""The contract of storage in memory: what Firestore promises, without Firestore. Used by tests of everything above.

One `MemoryDatabase` holds the documents of every repository made on it, as one Firestore does. Its clock stands in for
the store's own; no two writes share a microsecond, so versions always tell them apart.
"""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from shared.clock import Clock
from shared.errors import StoreUnavailable
from shared.models.batch import Batch, Chunk
from shared.models.delivery import Delivery
from shared.models.handler import HandlerEntry
from shared.models.job import Job
from shared.models.key import ApiKey
from shared.models.queue import QueueControl
from shared.models.statistics import Shard
from shared.models.webhook import Endpoint, Health, TenantHooks
from shared.storage.contract import (
    DUE_BYTES,
    Conflict,
    DuePlace,
    JobFilter,
    KeyedRequest,
    Place,
    Stored,
    Timer,
    Version,
    WriteResult,
)
from shared.storage.memory_values import check_values, fits, outcome, summary
from shared.storage.shard_leases import Allotment, Term

T = TypeVar("T")


@dataclass(slots=True)
class _Collection(Generic[T]):
    documents: dict[str, tuple[T, Version]] = field(default_factory=dict)

    def conflict_of_create(self, id: str) -> Conflict | None:
        return Conflict.EXISTS if id in self.documents else None

    def conflict_of_update(self, id: str, held: Version) -> Conflict | None:
        """A missing document is stale, as the emulator has it."""
        found = self.documents.get(id)
        return None if found is not None and found[1] == held else Conflict.STALE

    def conflict(self, id: str, held: Version | None) -> Conflict | None:
        """Of a write that creates where nothing is held."""
        return self.conflict_of_create(id) if held is None else self.conflict_of_update(id, held)

    def write(self, id: str, value: T, version: Version) -> Version:
        self.documents[id] = (value, version)
        return version


class MemoryDatabase:
    """clock: the store's time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0
        self._reachable = True
        self.jobs: _Collection[Job] = _Collection()
        self.timers: _Collection[Timer] = _Collection()
        self.idempotency: _Collection[KeyedRequest] = _Collection()
        self.handlers: _Collection[HandlerEntry] = _Collection()
        self.keys: _Collection[ApiKey] = _Collection()
        self.queues: _Collection[QueueControl] = _Collection()
        self._terms: defaultdict[str, _Collection[Term]] = defaultdict(_Collection)
        self.allotments: _Collection[Allotment] = _Collection()
        self.webhooks: _Collection[Endpoint] = _Collection()
        self.webhook_tenants: _Collection[TenantHooks] = _Collection()
        self.webhook_health: _Collection[Health] = _Collection()
        self.deliveries: _Collection[Delivery] = _Collection()
        self.stats: _Collection[Shard] = _Collection()
        self.batches: _Collection[Batch] = _Collection()
        self.chunks: _Collection[Chunk] = _Collection()

    def terms(self, group: str) -> "_Collection[Term]":
        return self._terms[group]

    def fail(self) -> None:
        """Make every call raise StoreUnavailable until `heal`."""
        self._reachable = False

    def heal(self) -> None:
        self._reachable = True

    async def answer(self) -> None:
        """What every call begins with: others run meanwhile, as they do while Firestore is asked."""
        await asyncio.sleep(0)
        if not self._reachable:
            raise StoreUnavailable("the memory store was told to fail")

    def now(self) -> int:
        """The store's time in microseconds, later than any write."""
        return max(self._clock.now() * 1_000, self._last)

    def next_version(self) -> Version:
        self._last = max(self._clock.now() * 1_000, self._last + 1)
        return Version(self._last)

    async def ping(self) -> None:
        await self.answer()


class MemoryJobs:
    """See `JobClaims`, `Schedules` and `JobErasure`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._jobs = database.jobs

    async def read(self, id: str) -> Stored[Job] | None:
        await self._database.answer()
        found = self._jobs.documents.get(id)
        return found and Stored(*found, read_at=self._database.now())

    async def create(self, job: Job) -> WriteResult:
        await self._database.answer()
        check_values(job.spec.input, job.output)
        return self._jobs.conflict_of_create(job.spec.id) or self._write(job)

    async def update(self, job: Job, held: Version, *, before: Job | None = None) -> WriteResult:
        await self._database.answer()
        check_values(job.output)
        return self._jobs.conflict_of_update(job.spec.id, held) or self._write_state(job)

    async def replace(self, job: Job, held: Version) -> WriteResult:
        await self._database.answer()
        check_values(job.spec.input, job.output)
        return self._jobs.conflict_of_update(job.spec.id, held) or self._write(job)

    async def schedule(self, job: Job, timer: Timer) -> WriteResult:
        await self._database.answer()
        check_values(job.spec.input, timer.body)
        timers = self._database.timers
        conflict = self._jobs.conflict_of_create(job.spec.id) or timers.conflict_of_create(timer.id)
        if conflict:
            return conflict
        timers.documents[timer.id] = (timer, self._database.next_version())
        return self._write(job)

    async def update_with_timer(self, job: Job, held: Version, timer: Timer) -> WriteResult:
        await self._database.answer()
        check_values(job.output, timer.body)
        timers = self._database.timers
        conflict = self._jobs.conflict_of_update(job.spec.id, held) or timers.conflict_of_create(timer.id)
        if conflict:
            return conflict
        timers.documents[timer.id] = (timer, self._database.next_version())
        return self._write_state(job)

    def _write_state(self, job: Job) -> Version:
        stored, _ = self._jobs.documents[job.spec.id]
        return self._write(replace(job, spec=stored.spec))

    def _write(self, job: Job) -> Version:
        version = self._database.next_version()
        self._jobs.documents[job.spec.id] = (job, version)
        return version


class MemoryJobLists:
    """See `JobLists` and `JobOutcomes`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._jobs = database.jobs

    async def page(self, wanted: JobFilter, *, after: Place | None, limit: int) -> Sequence[Job]:
        await self._database.answer()
        fitting = [job for job, _ in self._jobs.documents.values() if job.deleted_at is None and fits(job, wanted)]
        below = [job for job in fitting if after is None or Place.of(job) < after]
        return [summary(job) for job in sorted(below, key=Place.of, reverse=True)[:limit]]

    async def summaries(self, ids: Sequence[str]) -> Sequence[Job | None]:
        await self._database.answer()
        found = [self._jobs.documents.get(id) for id in ids]
        return [each and summary(each[0]) for each in found]

    async def outcomes(self, ids: Sequence[str]) -> Sequence[Job | None]:
        await self._database.answer()
        found = [self._jobs.documents.get(id) for id in ids]
        return [each and outcome(each[0]) for each in found]


class MemoryTimers:
    """See `Timers` and `TimerRemoval`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._timers = database.timers

    async def create(self, timer: Timer) -> WriteResult:
        await self._database.answer()
        check_values(timer.body)
        conflict = self._timers.conflict_of_create(timer.id)
        if conflict:
            return conflict
        version = self._database.next_version()
        self._timers.documents[timer.id] = (timer, version)
        return version

    async def due(
        self, shards: Collection[int], *, until: int, limit: int, after: DuePlace | None = None
    ) -> Sequence[Stored[Timer]]:
        await self._database.answer()
        due = [each for each in self._of(shards) if each[0].due_at <= until]
        behind = [each for each in due if after is None or DuePlace.of(each[0]) > after]
        sizes = itertools.accumulate((len(timer.body) for timer, _ in behind), initial=0)
        page = [each for each, before in zip(behind[:limit], sizes, strict=False) if before < DUE_BYTES]
        return [Stored(*each, read_at=self._database.now()) for each in page]

    async def next_due(self, shard: int) -> int | None:
        await self._database.answer()
        found = self._of([shard])
        return found[0][0].due_at if found else None

    async def delete(self, id: str, held: Version) -> WriteResult:
        await self._database.answer()
        conflict = self._timers.conflict_of_update(id, held)
        if conflict:
            return conflict
        del self._timers.documents[id]
        return held

    async def remove(self, id: str) -> None:
        await self._database.answer()
        self._timers.documents.pop(id, None)

    def _of(self, shards: Collection[int]) -> list[tuple[Timer, Version]]:
        found = [each for each in self._timers.documents.values() if each[0].shard in shards]
        return sorted(found, key=lambda each: DuePlace.of(each[0]))


class MemoryIdempotency:
    """See `Idempotency`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._requests = database.idempotency

    async def create(self, hash: str, request: KeyedRequest) -> WriteResult:
        await self._database.answer()
        return self._requests.conflict_of_create(hash) or self._write(hash, request)

    async def find(self, hash: str) -> Stored[KeyedRequest] | None:
        await self._database.answer()
        found = self._requests.documents.get(hash)
        return found and Stored(*found, read_at=self._database.now())

    async def replace(self, hash: str, request: KeyedRequest, held: Version) -> WriteResult:
        await self._database.answer()
        return self._requests.conflict_of_update(hash, held) or self._write(hash, request)

    def _write(self, hash: str, request: KeyedRequest) -> Version:
        version = self._database.next_version()
        self._requests.documents[hash] = (request, version)
        return version


class MemoryCatalogue:
    """See `Catalogue`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._handlers = database.handlers

    async def announce(self, entries: Sequence[HandlerEntry]) -> None:
        await self._database.answer()
        for entry in entries:
            self._handlers.documents[entry.name] = (entry, self._database.next_version())

    async def entries(self) -> Sequence[HandlerEntry]:
        await self._database.answer()
        return [self._handlers.documents[name][0] for name in sorted(self._handlers.documents)]


class MemoryKeys:
    """See `Keys` and `KeyRing`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._keys = database.keys

    async def find(self, id: str) -> ApiKey | None:
        await self._database.answer()
        found = self._keys.documents.get(id)
        return found and found[0]

    async def put(self, key: ApiKey) -> None:
        await self._database.answer()
        self._write(key)

    async def read(self, id: str) -> Stored[ApiKey] | None:
        await self._database.answer()
        found = self._keys.documents.get(id)
        return found and Stored(*found, read_at=self._database.now())

    async def create(self, key: ApiKey) -> WriteResult:
        await self._database.answer()
        return self._keys.conflict_of_create(key.id) or self._write(key)

    async def replace(self, key: ApiKey, held: Version) -> WriteResult:
        await self._database.answer()
        return self._keys.conflict_of_update(key.id, held) or self._write(key)

    async def page(self, tenant: str | None, *, after: str, limit: int) -> Sequence[ApiKey]:
        await self._database.answer()
        behind = [id for id in sorted(self._keys.documents) if id > after]
        keys = [self._keys.documents[id][0] for id in behind]
        return [key for key in keys if tenant is None or key.tenant == tenant][:limit]

    def _write(self, key: ApiKey) -> Version:
        version = self._database.next_version()
        self._keys.documents[key.id] = (key, version)
        return version


class MemoryQueueControls:
    """See `QueueControls`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._queues = database.queues

    async def put(self, control: QueueControl) -> None:
        await self._database.answer()
        self._queues.documents[control.name] = (control, self._database.next_version())

    async def all(self) -> Sequence[QueueControl]:
        await self._database.answer()
        return [self._queues.documents[name][0] for name in sorted(self._queues.documents)]
