"""The Protocols of storage for batches, and how a batch is changed by several at once.

| collection | writer → reader | harmless twice because |
|---|---|---|
| `batches` | gateway, aggregator → both | writes have preconditions, and merge what they meet |
| `batches/{id}/chunks` | gateway → gateway | created if absent; a chunk's items never change |

See `contract` for versions and refusals, and for what every call raises beside what it names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from shared.errors import CommitUnknown, StoreUnavailable
from shared.models.batch import Batch, BatchEntry, BatchSpec, BatchStatus, Chunk
from shared.storage.contract import Place, Stored, Timer, Version, WriteResult

BATCH_SHARDS: Final = 4
"""They lead the indexes that list batches: see JOB_SHARDS. There are fewer batches than jobs."""
CHUNKS_A_PAGE: Final = 32
"""More than are ever written at the same time, so that behind an empty page there are no more."""
MAX_CHUNKS: Final = 100_000
MAX_ROUNDS: Final = 8
"""Of reading and writing a batch that others write at the same time: an aggregator writes about once a second."""


class BatchReader(Protocol):
    async def read(self, id: str) -> Stored[Batch] | None:
        """Stubs included. Raises StoreUnavailable."""
        ...


class BatchWrites(BatchReader, Protocol):
    """What whoever changes a batch needs."""

    async def update(self, batch: Batch, held: Version) -> WriteResult:
        """Write the state (everything but the spec) if nobody wrote since `held`.

        Raises StoreUnavailable or CommitUnknown.
        """
        ...


class BatchOpening(BatchWrites, Protocol):
    async def open(self, batch: Batch, deadline: Timer) -> WriteResult:
        """Write the whole document if there is none, and create `deadline`, both or neither. Raises as `update`."""
        ...


class BatchErasure(BatchReader, Protocol):
    async def replace(self, batch: Batch, held: Version) -> WriteResult:
        """Write the whole document, spec included, if nobody wrote since `held`. Raises as `BatchWrites.update`."""
        ...


@dataclass(frozen=True, slots=True)
class BatchFilter:
    """Which batches of a tenant a list shows."""

    tenant: str
    status: BatchStatus | None = None


class BatchLists(Protocol):
    async def page(self, wanted: BatchFilter, *, after: Place | None, limit: int) -> Sequence[BatchEntry]:
        """The newest batches below `after`, no stubs; fewer than `limit` if that is all. Raises StoreUnavailable."""
        ...


def batch_place(entry: BatchEntry) -> Place:
    """Where it stands in lists."""
    return Place(entry.batch.spec.created_at, entry.batch.spec.id)


class Batches(BatchOpening, BatchErasure, BatchLists, Protocol):
    """Everything that is asked of the repository of batches."""


class Chunks(Protocol):
    """What an upload leaves of each of its parts."""

    async def create(self, batch: BatchSpec, chunk: Chunk) -> WriteResult:
        """Write it if there is none of its number. Raises StoreUnavailable or CommitUnknown."""
        ...

    async def put(self, batch: BatchSpec, chunk: Chunk) -> None:
        """Write it, whatever is there. Raises as `create`."""
        ...

    async def page(self, batch: str, *, start: int, limit: int) -> Sequence[Chunk]:
        """Those that exist of the `limit` numbers from `start` on, by number. Raises StoreUnavailable."""
        ...

    async def remove(self, batch: str, number: int) -> None:
        """Delete it, if it exists. Raises as `create`."""
        ...


async def uploaded(chunks: Chunks, batch: str) -> Sequence[Chunk]:
    """All that an upload has left so far, by number. Raises StoreUnavailable."""
    found: list[Chunk] = []
    for start in range(0, MAX_CHUNKS, CHUNKS_A_PAGE):
        page = await chunks.page(batch, start=start, limit=CHUNKS_A_PAGE)
        if not page:
            break
        found += page
    return found


async def change(batches: BatchWrites, id: str, step: Callable[[Batch], Batch]) -> Batch | None:
    """The batch after `step`, which is taken again of what a rival has written meanwhile; None where there is none.

    step: returns its argument itself where there is nothing to change. It must be harmless twice.
    Raises StoreUnavailable, also where rivals write all the time.
    """
    for _ in range(MAX_ROUNDS):
        stored = await batches.read(id)
        if stored is None:
            return None
        after = step(stored.value)
        if after is stored.value:
            return after
        try:
            if isinstance(await batches.update(after, stored.version), Version):
                return after
        except CommitUnknown:
            continue  # what is there now tells
    raise StoreUnavailable("the batch is written by too many at once")
