"""`timers/{job}:{attempt}`: messages that wait for their time. The contract's Timers on Firestore.

Found by (shard, due_at): an index on a rising time alone would be a hot spot. Deleted once published, so no expiry.
"""

from collections.abc import Collection, Sequence
from typing import Final

import orjson

from shared.storage.contract import DUE_BYTES, DuePlace, Stored, Timer, Version, WriteResult
from shared.storage.firestore import fields as read
from shared.storage.firestore import writes
from shared.storage.firestore.database import FirestoreDatabase
from shared.storage.firestore.protobuf import (
    ASCENDING,
    AT_MOST,
    BatchWriteRequest,
    Message,
)
from shared.storage.firestore.reader import Found
from shared.storage.firestore.structured import order, query_of, select, start_behind, where, where_shard
from shared.storage.firestore.values import set_time, set_timestamp
from shared.storage.firestore.writes import ENCODING

TIMER_FIELDS: Final = ("shard", "due_at", "topic", "body", "attributes")


def set_timer(fields: Message, timer: Timer) -> None:
    """Fill in TIMER_FIELDS. Attributes are JSON bytes, for a map would refuse keys like `__name__`."""
    fields["shard"].integer_value = timer.shard
    set_time(fields, "due_at", timer.due_at)
    fields["topic"].string_value = timer.topic
    fields["body"].bytes_value = timer.body
    fields["attributes"].bytes_value = orjson.dumps(timer.attributes)


def timer_of(id: str, fields: Message) -> Timer:
    """The timer in a document's fields."""
    return Timer(
        id=id,
        due_at=read.time(fields, "due_at"),
        topic=read.text(fields, "topic"),
        body=read.data(fields, "body"),
        attributes=orjson.loads(read.data(fields, "attributes")),
    )


class FirestoreTimers:
    """See `Timers` and `TimerRemoval`."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database
        self._timers = database.collection("timers")

    async def create(self, timer: Timer) -> WriteResult:
        name = self._timers.name(timer.id)
        request = BatchWriteRequest()
        with ENCODING:
            set_timer(writes.create(request, name), timer)
        return await self._database.write(name, request.SerializeToString())

    async def due(
        self, shards: Collection[int], *, until: int, limit: int, after: DuePlace | None = None
    ) -> Sequence[Stored[Timer]]:
        query = _earliest(shards, limit)
        set_timestamp(where(query, "due_at", AT_MOST).timestamp_value, until)
        if after is not None:
            start_behind(query, after.due_at, self._timers.name(after.id))
        return [self._stored(found) for found in await self._database.query(query, most_bytes=DUE_BYTES)]

    def _stored(self, found: Found) -> Stored[Timer]:
        timer = timer_of(self._timers.id(found.document.name), found.document.fields)
        return Stored(timer, found.version, found.read_at)

    async def next_due(self, shard: int) -> int | None:
        query = _earliest([shard], 1)
        select(query, ["due_at"])
        found = await self._database.query(query)
        return read.time(found[0].document.fields, "due_at") if found else None

    async def delete(self, id: str, held: Version) -> WriteResult:
        return await self._database.delete(self._timers.name(id), held)

    async def remove(self, id: str) -> None:
        name = self._timers.name(id)
        request = BatchWriteRequest()
        writes.remove(request, name)
        await self._database.write(name, request.SerializeToString())


def _earliest(shards: Collection[int], limit: int) -> Message:
    """One query, however many shards: Firestore merges their parts of the index."""
    query = query_of("timers", limit)
    where_shard(query, shards)
    order(query, ["due_at", "__name__"], ASCENDING)
    return query
