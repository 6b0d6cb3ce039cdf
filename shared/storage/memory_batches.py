"""The contract of storage for batches in memory: see `memory`, whose database these repositories share."""

from collections.abc import Sequence
from dataclasses import replace

from shared.models import bitmap
from shared.models.batch import Batch, BatchEntry, BatchSpec, Chunk
from shared.models.batch_items import Items
from shared.storage.batch_contract import BatchFilter, batch_place
from shared.storage.contract import Place, Stored, Timer, Version, WriteResult
from shared.storage.memory import MemoryDatabase
from shared.storage.memory_values import check_values


class MemoryBatches:
    """See `Batches`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._batches = database.batches

    async def read(self, id: str) -> Stored[Batch] | None:
        await self._database.answer()
        found = self._batches.documents.get(id)
        return found and Stored(*found, read_at=self._database.now())

    async def open(self, batch: Batch, deadline: Timer) -> WriteResult:
        await self._database.answer()
        _check(batch)
        check_values(deadline.body)
        timers = self._database.timers
        conflict = self._batches.conflict_of_create(batch.spec.id) or timers.conflict_of_create(deadline.id)
        if conflict:
            return conflict
        timers.write(deadline.id, deadline, self._database.next_version())
        return self._write(batch)

    async def update(self, batch: Batch, held: Version) -> WriteResult:
        await self._database.answer()
        _check(batch)
        conflict = self._batches.conflict_of_update(batch.spec.id, held)
        if conflict:
            return conflict
        stored, _ = self._batches.documents[batch.spec.id]
        return self._write(replace(batch, spec=stored.spec))

    async def replace(self, batch: Batch, held: Version) -> WriteResult:
        await self._database.answer()
        _check(batch)
        return self._batches.conflict_of_update(batch.spec.id, held) or self._write(batch)

    async def page(self, wanted: BatchFilter, *, after: Place | None, limit: int) -> Sequence[BatchEntry]:
        await self._database.answer()
        fitting = [_entry(batch) for batch, _ in self._batches.documents.values() if _fits(batch, wanted)]
        below = [entry for entry in fitting if after is None or batch_place(entry) < after]
        return sorted(below, key=batch_place, reverse=True)[:limit]

    def _write(self, batch: Batch) -> Version:
        return self._batches.write(batch.spec.id, batch, self._database.next_version())


class MemoryChunks:
    """See `Chunks`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._chunks = database.chunks

    async def create(self, batch: BatchSpec, chunk: Chunk) -> WriteResult:
        await self._database.answer()
        id = _chunk_id(batch.id, chunk.number)
        return self._chunks.conflict_of_create(id) or self._write(id, chunk)

    async def put(self, batch: BatchSpec, chunk: Chunk) -> None:
        await self._database.answer()
        self._write(_chunk_id(batch.id, chunk.number), chunk)

    async def page(self, batch: str, *, start: int, limit: int) -> Sequence[Chunk]:
        await self._database.answer()
        numbers = range(start, start + limit)
        found = (self._chunks.documents.get(_chunk_id(batch, number)) for number in numbers)
        return [each[0] for each in found if each is not None]

    async def remove(self, batch: str, number: int) -> None:
        await self._database.answer()
        self._chunks.documents.pop(_chunk_id(batch, number), None)

    def _write(self, id: str, chunk: Chunk) -> Version:
        return self._chunks.write(id, chunk, self._database.next_version())


def _chunk_id(batch: str, number: int) -> str:
    return f"{batch}/{number}"


def _fits(batch: Batch, wanted: BatchFilter) -> bool:
    fitting = batch.spec.tenant == wanted.tenant and wanted.status in {None, batch.status}
    return fitting and batch.deleted_at is None


def _entry(batch: Batch) -> BatchEntry:
    spec = replace(batch.spec, webhook=None, traceparent=None)
    reduction = batch.reduction and replace(batch.reduction, output=None)
    return BatchEntry(replace(batch, spec=spec, items=Items(), reduction=reduction), batch.counts)


def _check(batch: Batch) -> None:
    items = batch.items
    sets = (items.started, items.succeeded, items.failed, items.canceled, items.expired)
    output = batch.reduction.output if batch.reduction is not None else None
    check_values(output, *map(bitmap.to_bytes, sets))
