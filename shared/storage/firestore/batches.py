"""`batches/{id}` and `batches/{id}/chunks/{n}`. The contract's Batches and Chunks on Firestore."""

from collections.abc import Sequence
from typing import Final

from shared.models.batch import Batch, BatchEntry, BatchSpec, Chunk, forget_at
from shared.models.job import MESSAGES_LAST_MS, Retention
from shared.storage.batch_contract import BATCH_SHARDS, BatchFilter, batch_place
from shared.storage.contract import Place, Stored, Timer, Version, WriteResult
from shared.storage.firestore import fields as read
from shared.storage.firestore import writes
from shared.storage.firestore.batch_codec import (
    LARGE_FIELDS,
    SPEC_FIELDS,
    STATE_FIELDS,
    batch_of,
    counts_of,
    set_spec,
    set_state,
)
from shared.storage.firestore.database import FirestoreDatabase
from shared.storage.firestore.merging import merged
from shared.storage.firestore.protobuf import DESCENDING, EQUAL, BatchWriteRequest, CommitRequest, Message
from shared.storage.firestore.reader import Found
from shared.storage.firestore.structured import order, query_of, select, start_behind, where
from shared.storage.firestore.target import Collection
from shared.storage.firestore.timers import set_timer
from shared.storage.firestore.values import set_time
from shared.storage.firestore.writes import ENCODING

CHUNK_FIELDS: Final = ("number", "first", "items", "hash", "published", "expire_at")
ENTRY_FIELDS: Final = tuple(name for name in (*SPEC_FIELDS, *STATE_FIELDS) if name not in LARGE_FIELDS)


class FirestoreBatches:
    """See `Batches`."""

    def __init__(self, database: FirestoreDatabase, retention: Retention | None = None) -> None:
        self._database = database
        self._retention = retention or Retention()
        self._batches = database.collection("batches")
        self._timers = database.collection("timers")

    async def read(self, id: str) -> Stored[Batch] | None:
        found = await self._database.read(self._batches.name(id))
        return None if found is None else Stored(batch_of(id, found.document.fields), found.version, found.read_at)

    async def open(self, batch: Batch, deadline: Timer) -> WriteResult:
        request = CommitRequest()
        with ENCODING:
            fields = writes.create(request, self._batches.name(batch.spec.id))
            set_spec(fields, batch.spec)
            self._set_state(fields, batch)
            set_timer(writes.create(request, self._timers.name(deadline.id)), deadline)
        return await self._database.commit(request.SerializeToString())

    async def update(self, batch: Batch, held: Version) -> WriteResult:
        name = self._batches.name(batch.spec.id)
        request = BatchWriteRequest()
        with ENCODING:
            self._set_state(writes.update(request, name, held, STATE_FIELDS), batch)
        return await self._database.write(name, request.SerializeToString())

    async def replace(self, batch: Batch, held: Version) -> WriteResult:
        name = self._batches.name(batch.spec.id)
        request = BatchWriteRequest()
        with ENCODING:
            fields = writes.replace(request, name, held)
            set_spec(fields, batch.spec, listed=batch.deleted_at is None)
            self._set_state(fields, batch)
        return await self._database.write(name, request.SerializeToString())

    async def page(self, wanted: BatchFilter, *, after: Place | None, limit: int) -> Sequence[BatchEntry]:
        async def fetch(shard: int, behind: Place | None, share: int) -> Sequence[BatchEntry]:
            query = batch_query(wanted, shard, share)
            if behind is not None:
                start_behind(query, behind.created_at, self._batches.name(behind.id))
            return [self._entry(found) for found in await self._database.query(query)]

        return await merged(fetch, batch_place, after=after, limit=limit, shards=BATCH_SHARDS)

    def _entry(self, found: Found) -> BatchEntry:
        fields = found.document.fields
        return BatchEntry(batch_of(self._batches.id(found.document.name), fields), counts_of(fields))

    def _set_state(self, fields: Message, batch: Batch) -> None:
        set_state(fields, batch, expire_at=forget_at(batch, self._retention))


def batch_query(wanted: BatchFilter, shard: int, limit: int) -> Message:
    """For the newest batches of one shard."""
    query = query_of("batches", limit)
    where(query, "tenant", EQUAL).string_value = wanted.tenant
    where(query, "shard", EQUAL).integer_value = shard
    if wanted.status is not None:
        where(query, "status", EQUAL).string_value = wanted.status
    order(query, ["created_at", "__name__"], DESCENDING)
    select(query, ENTRY_FIELDS)
    return query


class FirestoreChunks:
    """See `Chunks`."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database
        self._batches = database.collection("batches")

    async def create(self, batch: BatchSpec, chunk: Chunk) -> WriteResult:
        name = self._chunks(batch.id).name(str(chunk.number))
        request = BatchWriteRequest()
        _set_chunk(writes.create(request, name), batch, chunk)
        return await self._database.write(name, request.SerializeToString())

    async def put(self, batch: BatchSpec, chunk: Chunk) -> None:
        name = self._chunks(batch.id).name(str(chunk.number))
        request = BatchWriteRequest()
        _set_chunk(writes.put(request, name), batch, chunk)
        await self._database.write(name, request.SerializeToString())

    async def page(self, batch: str, *, start: int, limit: int) -> Sequence[Chunk]:
        chunks = self._chunks(batch)
        numbers = range(start, start + limit)
        found = await self._database.pick([chunks.name(str(number)) for number in numbers], CHUNK_FIELDS)
        return sorted((_chunk_of(each.document.fields) for each in found), key=lambda chunk: chunk.number)

    async def remove(self, batch: str, number: int) -> None:
        name = self._chunks(batch).name(str(number))
        request = BatchWriteRequest()
        writes.remove(request, name)
        await self._database.write(name, request.SerializeToString())

    def _chunks(self, batch: str) -> Collection:
        return Collection(f"{self._batches.name(batch)}/chunks/")


def _set_chunk(fields: Message, batch: BatchSpec, chunk: Chunk) -> None:
    """Fill in CHUNK_FIELDS."""
    fields["number"].integer_value = chunk.number
    fields["first"].integer_value = chunk.first
    fields["items"].integer_value = chunk.items
    fields["hash"].bytes_value = chunk.hash
    fields["published"].boolean_value = chunk.published
    set_time(fields, "expire_at", batch.created_at + batch.lifetime_ms + MESSAGES_LAST_MS)


def _chunk_of(fields: Message) -> Chunk:
    return Chunk(
        number=read.integer(fields, "number"),
        first=read.integer(fields, "first"),
        items=read.integer(fields, "items"),
        hash=read.data(fields, "hash"),
        published=bool(fields["published"].boolean_value),
    )
