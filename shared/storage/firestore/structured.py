"""The parts of a structured query, for whatever asks for documents by more than one field. `Queries` runs them."""

from collections.abc import Collection, Iterable

from shared.storage.firestore.protobuf import ALL_OF, ONE_OF, Message, StructuredQuery
from shared.storage.firestore.values import set_timestamp


def query_of(collection: str, limit: int) -> Message:
    """For the first `limit` documents of the collection that meet every condition that `where` adds."""
    query = StructuredQuery()
    query.from_.add().collection_id = collection
    query.where.composite_filter.op = ALL_OF
    query.limit.value = limit
    return query


def where(query: Message, field: str, operator: int) -> Message:
    """A condition on `field`; what is returned is to be set to the value."""
    condition = query.where.composite_filter.filters.add().field_filter
    condition.field.field_path = field
    condition.op = operator
    return condition.value


def where_shard(query: Message, shards: Collection[int]) -> None:
    """The condition that the document is of one of `shards`."""
    values = where(query, "shard", ONE_OF).array_value.values
    for shard in sorted(shards):
        values.add().integer_value = shard


def select(query: Message, fields: Iterable[str]) -> None:
    """Have these fields returned, and no others."""
    query.select.fields.extend([StructuredQuery.FieldReference(field_path=field) for field in fields])


def order(query: Message, fields: Iterable[str], direction: int) -> None:
    for field in fields:
        by = query.order_by.add()
        by.field.field_path = field
        by.direction = direction


def start_behind(query: Message, at: int, name: str) -> None:
    """Begin behind the document `name`, whose time is `at` (ms), in a query that is ordered by a time and the name."""
    cursor = query.start_at  # not `before` these values: behind them
    set_timestamp(cursor.values.add().timestamp_value, at)
    cursor.values.add().reference_value = name
