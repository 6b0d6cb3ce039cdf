"""The Protocols of storage, each cut to one consumer's need, and the values they speak in.

Writes are conditional: a version is what the store said of a document when it was last read or written. A refusal is a
value, not an exception, since losing a race is an ordinary outcome. All times in results are the store's own clock, in
microseconds, and only their differences are used.

| collection | writer → reader | harmless twice because |
|---|---|---|
| `jobs` | the worker with the claim; the gateway (tombstones, cancel requests) → all | writes have preconditions |
| `timers` | whoever delays → scheduler | created if absent; publishing a timer twice meets the claim |
| `handlers` | worker at start → gateway | the same version announces the same entry |
| `keys` | `sluice-admin`, gateway → gateway | written whole |

Every call ends within the adapter's own deadline. Beside what a method names it raises Overloaded, when too many calls
wait already and nothing was started, and a write raises DocumentRefused, when no store will ever take the document.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Protocol, TypeVar

from shared.models.handler import HandlerEntry
from shared.models.job import Job
from shared.models.key import ApiKey

T_co = TypeVar("T_co", covariant=True)

TIMER_SHARDS = 16
"""An index on a rising time takes about 500 writes a second; so many shards lead it."""
JOB_SHARDS = 16
"""The same, for the indexes that list jobs."""


def shard_of(id: str, shards: int) -> int:
    """The shard (0…shards-1) that a document belongs to, for ever: CRC-32 of its id."""
    return zlib.crc32(id.encode()) % shards


@dataclass(frozen=True, slots=True)
class Version:
    """When the document was last written, by the store's clock (microseconds). Opaque but for lease arithmetic.

    Each write that is applied gives a later one, also a write of what was there already: a renewed lease counts.
    """

    updated_at: int


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


class JobReader(Protocol):
    async def read(self, id: str) -> Stored[Job] | None:
        """The job, or None where no worker has claimed it. Raises StoreUnavailable."""
        ...


class JobClaims(JobReader, Protocol):
    """What the worker needs: all writes conditional on what it saw."""

    async def create(self, job: Job) -> WriteResult:
        """Write the whole document if there is none. Raises StoreUnavailable or CommitUnknown."""
        ...

    async def update(self, job: Job, held: Version) -> WriteResult:
        """Write the state (everything but the spec) if nobody wrote since `held`. Raises as `create`."""
        ...

    async def update_with_timer(self, job: Job, held: Version, timer: Timer) -> WriteResult:
        """As `update`, and create `timer`, both or neither. EXISTS: the timer is there. Raises as `create`."""
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

    async def due(self, shard: int, *, until: int, limit: int) -> Sequence[Stored[Timer]]:
        """Timers of `shard` (0…TIMER_SHARDS-1) with `due_at` up to `until`, earliest first. Raises StoreUnavailable."""
        ...

    async def next_due(self, shard: int) -> int | None:
        """When the shard's next timer is due, or None if there is none. Raises StoreUnavailable."""
        ...

    async def delete(self, id: str, held: Version) -> WriteResult:
        """Delete if nobody wrote since `held`, which it then returns. Raises as `create`."""
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


class Probe(Protocol):
    async def ping(self) -> None:
        """Return once the store has answered a read. Raises StoreUnavailable."""
        ...
