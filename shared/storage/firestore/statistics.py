"""`stats/{id}`: what was counted, by tenant and span of time. The contract's Statistics on Firestore.

The tallies are one field of bytes, so a document has one index entry however many handlers it counts.
"""

from collections.abc import Sequence
from typing import Final

from shared.models.statistics import Shard, Step, decode_tallies
from shared.storage.contract import Stored, Version, WriteResult, shard_of
from shared.storage.firestore import fields as read
from shared.storage.firestore import writes
from shared.storage.firestore.database import FirestoreDatabase
from shared.storage.firestore.protobuf import (
    ASCENDING,
    AT_LEAST,
    BELOW,
    EQUAL,
    BatchWriteRequest,
    CommitRequest,
    Message,
)
from shared.storage.firestore.structured import order, query_of, start_behind, where
from shared.storage.firestore.values import set_time, set_timestamp
from shared.storage.firestore.writes import ENCODING
from shared.storage.statistics import STATISTICS_SHARDS, ShardPlace

STATISTICS_FIELDS: Final = ("tenant", "shard", "step", "at", "tallies", "expire_at", "replaces")


def set_shard(fields: Message, shard: Shard, replaces: Version | None = None) -> None:
    """Fill in STATISTICS_FIELDS."""
    fields["tenant"].string_value = shard.tenant
    fields["shard"].integer_value = shard_of(shard.tenant, STATISTICS_SHARDS)
    fields["step"].string_value = shard.step
    set_time(fields, "at", shard.at)
    fields["tallies"].bytes_value = shard.encode()
    set_time(fields, "expire_at", shard.expire_at)
    writes.set_replaces(fields, replaces)


def counted_of(id: str, fields: Message) -> Shard:
    """The shard in a document's fields."""
    return Shard(
        id=id,
        tenant=read.text(fields, "tenant"),
        step=Step(read.text(fields, "step", Step.MINUTE)),
        at=read.time(fields, "at"),
        tallies=decode_tallies(read.data(fields, "tallies")),
        expire_at=read.time(fields, "expire_at"),
    )


class FirestoreStatistics:
    """See `Statistics`."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database
        self._stats = database.collection("stats")

    async def page(self, tenant: str, *, start: int, end: int, after: ShardPlace | None, limit: int) -> Sequence[Shard]:
        query = shards_query(tenant, start, end, limit)
        if after is not None:
            start_behind(query, after.at, self._stats.name(after.id))
        found = await self._database.query(query)
        return [counted_of(self._stats.id(each.document.name), each.document.fields) for each in found]

    async def put(self, shard: Shard) -> None:
        name = self._stats.name(shard.id)
        request = BatchWriteRequest()
        with ENCODING:
            set_shard(writes.put(request, name), shard)
        await self._database.write(name, request.SerializeToString())

    async def old(self, shard: int, before: int, *, limit: int) -> Sequence[Stored[Shard]]:
        found = await self._database.query(old_query(shard, before, limit))
        return [
            Stored(counted_of(self._stats.id(each.document.name), each.document.fields), each.version, each.read_at)
            for each in found
        ]

    async def read(self, id: str) -> Stored[Shard] | None:
        found = await self._database.read(self._stats.name(id))
        return None if found is None else Stored(counted_of(id, found.document.fields), found.version, found.read_at)

    async def sum_up(self, hour: Shard, held: Version | None, minutes: Sequence[Stored[Shard]]) -> WriteResult:
        request = CommitRequest()
        with ENCODING:
            set_shard(writes.create_or_replace(request, self._stats.name(hour.id), held), hour, held)
            for minute in minutes:
                writes.delete(request, self._stats.name(minute.value.id), minute.version)
        return await self._database.commit(request.SerializeToString())


def shards_query(tenant: str, start: int, end: int, limit: int) -> Message:
    """For a tenant's shards by time."""
    query = query_of("stats", limit)
    where(query, "tenant", EQUAL).string_value = tenant
    set_timestamp(where(query, "at", AT_LEAST).timestamp_value, start)
    set_timestamp(where(query, "at", BELOW).timestamp_value, end)
    order(query, ["at", "__name__"], ASCENDING)
    return query


def old_query(shard: int, before: int, limit: int) -> Message:
    """For the earliest minutes of one shard."""
    query = query_of("stats", limit)
    where(query, "shard", EQUAL).integer_value = shard
    where(query, "step", EQUAL).string_value = Step.MINUTE
    set_timestamp(where(query, "at", BELOW).timestamp_value, before)
    order(query, ["at", "__name__"], ASCENDING)
    return query
