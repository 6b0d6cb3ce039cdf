"""The Protocols of storage, each cut to one consumer's need, and the values they speak in.

Writes are conditional: a version is what the store said of a document when it was last read or written. A refusal is a
value, not an exception, since losing a race is an ordinary outcome. All times in results are the store's own clock, in
microseconds, and only their differences are used.

| collection | writer → reader | harmless twice because |
|---|---|---|
| `jobs` | the worker with the claim; the gateway (tombstones, cancel requests) → all | writes have preconditions |
| `timers` | whoever delays → scheduler | created if absent; publishing a timer twice meets the claim |
| `idempotency` | gateway → gateway | created if absent: of two requests with one key, one writes |
| `handlers` | worker at start → gateway | the same version announces the same entry |
| `keys` | `sluice-admin`, gateway → gateway | written whole; changed by precondition |
| `queues` | gateway → gateway, worker | written whole |
| `batches`, `batches/{id}/chunks` | see `batch_contract` | likewise |
| `terms`, `allotments` | scheduler, webhooks → its own kind (`shard_leases`) | writes have preconditions |
| `stats` | aggregators → gateways, aggregators (`statistics`) | a document has one writer; sums replace their parts |

Every call ends within the adapter's own deadline. Beside what a method names it raises Overloaded, when too many calls
wait already and nothing was started, and a write raises DocumentRefused, when no store will ever take the document.
"""

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Protocol, TypeVar

from shared.models.handler import HandlerEntry
from shared.models.job import Job, JobStatus
from shared.models.key import ApiKey
from shared.models.queue import QueueControl
from shared.values import value

T_co = TypeVar("T_co", covariant=True)

TIMER_SHARDS = 16
"""An index on a rising time takes about 500 writes a second; so many shards lead it."""
DUE_BYTES = 4_000_000
"""Bodies of due timers that are read at once, but for the last of them: pages of large ones are short."""
JOB_SHARDS = 16
"""The same, for the indexes that list jobs."""


def shard_of(id: str, shards: int) -> int:
    """The shard (0…shards-1) that a document belongs to, for ever: CRC-32 of its id."""
    return zlib.crc32(id.encode()) % shards


@value(frozen=True, slots=True)
class Version:
    """When the document was last written, by the store's clock (microseconds). Opaque but for lease arithmetic.

    Each write that is applied gives a later one, also a write of what was there already: a renewed lease counts.
    """

    updated_at: int


@value(frozen=True, slots=True)
class Stored(Generic[T_co]):
    """A document as read."""

    value: T_co
    version: Version
    read_at: int
    """The moment of the read by the store's clock, microseconds."""

    @property
    def idle_seconds(self) -> float:
        """For how long nobody had written the document when it was read."""
        return (self.read_at - self.version.updated_at) / 1_000_000


class Conflict(Enum):
    """Why a conditional write was not applied."""

    EXISTS = "exists"
    """It was to be created, and is there."""
    STALE = "stale"
    """It is not what the writer held: written since, or gone."""
    MISSING = "missing"
    """It was to be changed, and is known to be gone. Treat it like STALE: stores do not always tell the two apart."""


WriteResult = Version | Conflict


def timer_id(job: str, attempt: int) -> str:
    """Of the timer that starts an attempt of a job."""
    return f"{job}:{attempt}"


@value(frozen=True, slots=True)
class Timer:
    """A message to be published at a time. Written by whoever delays a job, released by the scheduler."""

    id: str
    """`{job id}:{attempt}`."""
    due_at: int
    """Milliseconds since the epoch."""
    topic: str
    body: bytes
    attributes: dict[str, str]

    @property
    def shard(self) -> int:
        return shard_of(self.id, TIMER_SHARDS)


@dataclass(frozen=True, slots=True, order=True)
class DuePlace:
    """Where a timer stands among those that are due."""

    due_at: int
    id: str

    @classmethod
    def of(cls, timer: Timer) -> "DuePlace":
        return cls(timer.due_at, timer.id)


class JobReader(Protocol):
    async def read(self, id: str) -> Stored[Job] | None:
        """The job, or None where no worker has claimed it. Raises StoreUnavailable."""
        ...


class JobWrites(JobReader, Protocol):
    """What whoever changes a job's state needs: all writes conditional on what it saw."""

    async def create(self, job: Job) -> WriteResult:
        """Write the whole document if there is none. Raises StoreUnavailable or CommitUnknown."""
        ...

    async def update(self, job: Job, held: Version, *, before: Job | None = None) -> WriteResult:
        """Write the state (everything but the spec) if nobody wrote since `held`. Raises as `create`.

        before: what is stored at `held`, if that is at hand: then only what differs is sent.
        """
        ...


class JobErasure(JobReader, Protocol):
    """What whoever takes a job's data away needs. A stub is in no list."""

    async def create(self, job: Job) -> WriteResult:
        """As `JobWrites.create`."""
        ...

    async def replace(self, job: Job, held: Version) -> WriteResult:
        """Write the whole document, spec included, if nobody wrote since `held`. Raises as `create`."""
        ...


class JobClaims(JobWrites, JobErasure, Protocol):
    """What the worker needs."""

    async def update_with_timer(self, job: Job, held: Version, timer: Timer) -> WriteResult:
        """As `update`, and create `timer`, both or neither. EXISTS: the timer is there. Raises as `create`."""
        ...


@value(frozen=True, slots=True)
class JobFilter:
    """Which jobs of a tenant a list shows: those that fit all that is set."""

    tenant: str
    status: JobStatus | None = None
    handler: str | None = None
    label: tuple[str, str] | None = None
    """A key and its value."""
    created_after: int | None = None
    """Milliseconds since the epoch; that moment itself is out."""
    created_before: int | None = None
    """Likewise."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a job stands in lists, which go from the highest place to the lowest."""

    created_at: int
    id: str

    @classmethod
    def of(cls, job: Job) -> "Place":
        return cls(job.spec.created_at, job.spec.id)


class JobLists(Protocol):
    """What a list of jobs needs. Its jobs have neither input, output nor trace, so that pages stay small."""

    async def page(self, wanted: JobFilter, *, after: Place | None, limit: int) -> Sequence[Job]:
        """The newest jobs below `after`, no stubs; fewer than `limit` if that is all. Raises StoreUnavailable."""
        ...

    async def summaries(self, ids: Sequence[str]) -> Sequence[Job | None]:
        """The jobs of up to 100 ids, stubs included, and None where there is no document. Raises StoreUnavailable."""
        ...


class JobOutcomes(Protocol):
    """What whoever gathers the outputs of many jobs needs."""

    async def outcomes(self, ids: Sequence[str]) -> Sequence[Job | None]:
        """The jobs of up to 100 ids, stubs included, and None where there is no document.

        Of their specs nothing but the id is there; of the rest everything that concerns the end. Raises
        StoreUnavailable.
        """
        ...


class Schedules(Protocol):
    """What whoever accepts delayed work needs."""

    async def schedule(self, job: Job, timer: Timer) -> WriteResult:
        """Write the whole job if there is none, and create `timer`, both or neither. Raises as `JobClaims.create`."""
        ...


class Timers(Protocol):
    async def create(self, timer: Timer) -> WriteResult:
        """Raises StoreUnavailable or CommitUnknown."""
        ...

    async def due(
        self, shards: Collection[int], *, until: int, limit: int, after: DuePlace | None = None
    ) -> Sequence[Stored[Timer]]:
        """Timers of `shards` (0…TIMER_SHARDS-1) with `due_at` up to `until`, earliest first, from the first behind
        `after`. Fewer than `limit` if that is all, or if their bodies come to DUE_BYTES. Raises StoreUnavailable.
        """
        ...

    async def next_due(self, shard: int) -> int | None:
        """When the shard's next timer is due, or None if there is none. Raises StoreUnavailable."""
        ...

    async def delete(self, id: str, held: Version) -> WriteResult:
        """Delete if nobody wrote since `held`, which it then returns. Raises as `create`."""
        ...


@value(frozen=True, slots=True)
class KeyedRequest:
    """A request with an Idempotency-Key: what it asked, and the id that it is answered with, now and ever after."""

    id: str
    fingerprint: str
    """Of its body: another body under the same key is refused."""
    accept_seconds: int
    """For so long after this was written, by the store's clock, it may be on its way to being accepted."""
    expire_at: int
    """From then on (milliseconds since the epoch) the key is as good as new."""


class Idempotency(Protocol):
    """`hash` is of tenant, route and key."""

    async def create(self, hash: str, request: KeyedRequest) -> WriteResult:
        """Write it if the key is unused. Raises StoreUnavailable or CommitUnknown."""
        ...

    async def find(self, hash: str) -> Stored[KeyedRequest] | None:
        """The request that used the key, expired ones included. Raises StoreUnavailable."""
        ...

    async def replace(self, hash: str, request: KeyedRequest, held: Version) -> WriteResult:
        """Write it if nobody wrote since `held`. Raises as `create`."""
        ...


class TimerRemoval(Protocol):
    async def remove(self, id: str) -> None:
        """Delete the timer, whatever it says; nothing if there is none. Raises StoreUnavailable or CommitUnknown."""
        ...


class Catalogue(Protocol):
    async def announce(self, entries: Sequence[HandlerEntry]) -> None:
        """Write the entries, whole. Raises StoreUnavailable, after which any of them may have been written."""
        ...

    async def entries(self) -> Sequence[HandlerEntry]:
        """All that were announced, by name. Raises StoreUnavailable."""
        ...


class Keys(Protocol):
    async def find(self, id: str) -> ApiKey | None:
        """Raises StoreUnavailable."""
        ...

    async def put(self, key: ApiKey) -> None:
        """Write the key, whole. Raises StoreUnavailable, after which it may have been written."""
        ...


class KeyRing(Protocol):
    """What whoever manages keys needs."""

    async def read(self, id: str) -> Stored[ApiKey] | None:
        """Raises StoreUnavailable."""
        ...

    async def create(self, key: ApiKey) -> WriteResult:
        """Write the key if there is none by its id. Raises StoreUnavailable or CommitUnknown."""
        ...

    async def replace(self, key: ApiKey, held: Version) -> WriteResult:
        """Write the key, whole, if nobody wrote since `held`. Raises as `create`."""
        ...

    async def page(self, tenant: str | None, *, after: str, limit: int) -> Sequence[ApiKey]:
        """The tenant's keys, or with None every tenant's, in the order of their ids, from the first behind `after`.

        Fewer than `limit` if that is all. Raises StoreUnavailable.
        """
        ...


class QueueControls(Protocol):
    """What operators have said of queues."""

    async def put(self, control: QueueControl) -> None:
        """Write it, whole. Raises StoreUnavailable, after which it may have been written."""
        ...

    async def all(self) -> Sequence[QueueControl]:
        """Of every queue of which something was said, by name. Raises StoreUnavailable."""
        ...


class Probe(Protocol):
    async def ping(self) -> None:
        """Return once the store has answered a read. Raises StoreUnavailable."""
        ...
