"""`deliveries/{id}`: what is to be delivered, and what became of it. The contract's Deliveries and DeliveryLog.

Found by (shard, due_at): one query asks for all shards that an instance holds. What is over has no `due_at`, and so is
in no index of what is due. The body is written once; updates leave it alone.
"""

from collections.abc import Collection, Sequence
from typing import Final

import orjson

from shared.models.delivery import RECOVERABLE, AttemptRecord, Delivery, DeliveryState
from shared.storage.contract import Stored, Version, WriteResult
from shared.storage.firestore import fields as read
from shared.storage.firestore import writes
from shared.storage.firestore.database import FirestoreDatabase
from shared.storage.firestore.protobuf import (
    ASCENDING,
    AT_LEAST,
    AT_MOST,
    DESCENDING,
    EQUAL,
    ONE_OF,
    BatchWriteRequest,
    Message,
)
from shared.storage.firestore.reader import Found
from shared.storage.firestore.structured import order, query_of, select, start_behind, where, where_shard
from shared.storage.firestore.values import set_time, set_timestamp
from shared.storage.firestore.writes import ENCODING
from shared.storage.webhook_contract import DeliveryFilter, DeliveryPlace, delivery_shard

FIXED_FIELDS: Final = ("tenant", "shard", "message", "type", "endpoint", "subject", "body", "created_at", "url")
STATE_FIELDS: Final = (
    "expires_at",
    "due_at",
    "state",
    "step",
    "attempts",
    "attempted",
    "slow",
    "finished_at",
    "expire_at",
    "replaces",
)
LISTED_FIELDS: Final = tuple(field for field in (*FIXED_FIELDS, *STATE_FIELDS) if field not in {"body", "replaces"})
_NAME: Final = "__name__"


def set_fixed(fields: Message, delivery: Delivery) -> None:
    """Fill in FIXED_FIELDS."""
    fields["tenant"].string_value = delivery.tenant
    fields["shard"].integer_value = delivery_shard(delivery.endpoint)
    fields["message"].string_value = delivery.message
    fields["type"].string_value = delivery.type
    fields["endpoint"].string_value = delivery.endpoint
    fields["subject"].string_value = delivery.subject
    fields["body"].bytes_value = delivery.body
    set_time(fields, "created_at", delivery.created_at)
    if delivery.url is not None:
        fields["url"].string_value = delivery.url


def set_state(fields: Message, delivery: Delivery, replaces: Version | None = None) -> None:
    """Fill in STATE_FIELDS."""
    fields["state"].string_value = delivery.state
    set_time(fields, "expires_at", delivery.expires_at)
    set_time(fields, "expire_at", delivery.forget_at)
    fields["step"].integer_value = delivery.step
    fields["attempted"].integer_value = delivery.attempted
    if delivery.due_at is not None:
        set_time(fields, "due_at", delivery.due_at)
    if delivery.finished_at is not None:
        set_time(fields, "finished_at", delivery.finished_at)
    if delivery.attempts:
        fields["attempts"].bytes_value = orjson.dumps([each.members() for each in delivery.attempts])
    if delivery.slow:
        fields["slow"].boolean_value = True
    writes.set_replaces(fields, replaces)


def delivery_of(id: str, fields: Message) -> Delivery:
    """The delivery in a document's fields."""
    attempts = read.optional_data(fields, "attempts")
    return Delivery(
        id=id,
        tenant=read.text(fields, "tenant"),
        message=read.text(fields, "message"),
        type=read.text(fields, "type"),
        endpoint=read.text(fields, "endpoint"),
        subject=read.text(fields, "subject"),
        body=read.data(fields, "body"),
        created_at=read.time(fields, "created_at"),
        expires_at=read.time(fields, "expires_at"),
        due_at=read.optional_time(fields, "due_at"),
        state=DeliveryState(read.text(fields, "state")),
        url=read.optional_text(fields, "url"),
        step=read.integer(fields, "step"),
        attempts=() if attempts is None else tuple(AttemptRecord.of(each) for each in orjson.loads(attempts)),
        attempted=read.integer(fields, "attempted"),
        slow="slow" in fields,
        finished_at=read.optional_time(fields, "finished_at"),
    )


class FirestoreDeliveries:
    """See `Deliveries` and `DeliveryLog`."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database
        self._deliveries = database.collection("deliveries")

    async def read(self, id: str) -> Stored[Delivery] | None:
        found = await self._database.read(self._deliveries.name(id))
        return None if found is None else self._stored(found)

    async def create(self, delivery: Delivery) -> WriteResult:
        name = self._deliveries.name(delivery.id)
        request = BatchWriteRequest()
        with ENCODING:
            fields = writes.create(request, name)
            set_fixed(fields, delivery)
            set_state(fields, delivery)
        return await self._database.write(name, request.SerializeToString())

    async def update(self, delivery: Delivery, held: Version) -> WriteResult:
        name = self._deliveries.name(delivery.id)
        request = BatchWriteRequest()
        with ENCODING:
            set_state(writes.update(request, name, held, STATE_FIELDS), delivery, held)
        return await self._database.write(name, request.SerializeToString())

    async def due(
        self, shards: Collection[int], *, since: int = 0, until: int, limit: int
    ) -> Sequence[Stored[Delivery]]:
        if not shards:
            return []
        query = due_query(shards, until, limit)
        if since:
            set_timestamp(where(query, "due_at", AT_LEAST).timestamp_value, since)
        return [self._stored(found) for found in await self._database.query(query)]

    async def recoverable(
        self, endpoint: str, *, since: int, after: DeliveryPlace | None, limit: int
    ) -> Sequence[Stored[Delivery]]:
        query = recoverable_query(endpoint, since, limit)
        if after is not None:
            start_behind(query, after.created_at, self._deliveries.name(after.id))
        return [self._stored(found) for found in await self._database.query(query)]

    async def page(self, wanted: DeliveryFilter, *, after: DeliveryPlace | None, limit: int) -> Sequence[Delivery]:
        query = list_query(wanted, limit)
        if after is not None:
            start_behind(query, after.created_at, self._deliveries.name(after.id))
        return [self._stored(found).value for found in await self._database.query(query)]

    def _stored(self, found: Found) -> Stored[Delivery]:
        id = self._deliveries.id(found.document.name)
        return Stored(delivery_of(id, found.document.fields), found.version, found.read_at)


def due_query(shards: Collection[int], until: int, limit: int) -> Message:
    query = query_of("deliveries", limit)
    where_shard(query, shards)
    set_timestamp(where(query, "due_at", AT_MOST).timestamp_value, until)
    order(query, ["due_at"], ASCENDING)
    return query


def recoverable_query(endpoint: str, since: int, limit: int) -> Message:
    query = query_of("deliveries", limit)
    where(query, "endpoint", EQUAL).string_value = endpoint
    values = where(query, "state", ONE_OF).array_value.values
    for state in sorted(RECOVERABLE):
        values.add().string_value = state
    set_timestamp(where(query, "created_at", AT_LEAST).timestamp_value, since)
    order(query, ["created_at", _NAME], ASCENDING)
    return query


def list_query(wanted: DeliveryFilter, limit: int) -> Message:
    """The query for a page of the log. Each combination of fields has its index."""
    query = query_of("deliveries", limit)
    select(query, LISTED_FIELDS)
    where(query, "tenant", EQUAL).string_value = wanted.tenant
    for field, text in (("endpoint", wanted.endpoint), ("subject", wanted.subject), ("state", wanted.state)):
        if text is not None:
            where(query, field, EQUAL).string_value = text
    order(query, ["created_at", _NAME], DESCENDING)
    return query
