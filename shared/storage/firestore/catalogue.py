"""`handlers/{name}`: what workers announced. The contract's Catalogue on Firestore.

Schemas are JSON bytes: they are read whole or not at all, and their keys (`$defs`, `__…`) are no field names.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import orjson

from shared.models.handler import HandlerEntry
from shared.storage.firestore import fields as read
from shared.storage.firestore import writes
from shared.storage.firestore.database import FirestoreDatabase
from shared.storage.firestore.protobuf import BatchWriteRequest, Message, StructuredQuery
from shared.storage.firestore.writes import ENCODING

HANDLER_FIELDS: Final = (
    "queue",
    "version",
    "input_schema",
    "output_schema",
    "timeout_seconds",
    "max_attempts",
    "cache_for_seconds",
    "description",
    "reduces",
)
MAX_HANDLERS: Final = 10_000


def set_handler(fields: Message, entry: HandlerEntry) -> None:
    """Fill in HANDLER_FIELDS."""
    fields["queue"].string_value = entry.queue
    fields["version"].string_value = entry.version
    fields["input_schema"].bytes_value = orjson.dumps(entry.input_schema)
    fields["output_schema"].bytes_value = orjson.dumps(entry.output_schema)
    fields["timeout_seconds"].double_value = entry.timeout_seconds
    fields["max_attempts"].integer_value = entry.max_attempts
    fields["cache_for_seconds"].integer_value = entry.cache_for_seconds
    fields["description"].string_value = entry.description
    if entry.reduces:
        fields["reduces"].boolean_value = True


def handler_of(name: str, fields: Message) -> HandlerEntry:
    """The entry in a document's fields."""
    return HandlerEntry(
        name=name,
        queue=read.text(fields, "queue"),
        version=read.text(fields, "version"),
        input_schema=orjson.loads(read.data(fields, "input_schema")),
        output_schema=orjson.loads(read.data(fields, "output_schema")),
        timeout_seconds=read.real(fields, "timeout_seconds"),
        max_attempts=read.integer(fields, "max_attempts"),
        cache_for_seconds=read.integer(fields, "cache_for_seconds"),
        description=read.text(fields, "description"),
        reduces="reduces" in fields,
    )


class FirestoreCatalogue:
    """See `Catalogue`."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database
        self._handlers = database.collection("handlers")

    async def announce(self, entries: Sequence[HandlerEntry]) -> None:
        outcomes = await asyncio.gather(*[self._put(entry) for entry in entries], return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _put(self, entry: HandlerEntry) -> None:
        name = self._handlers.name(entry.name)
        request = BatchWriteRequest()
        with ENCODING:
            set_handler(writes.put(request, name), entry)
        await self._database.write(name, request.SerializeToString())

    async def entries(self) -> Sequence[HandlerEntry]:
        query = StructuredQuery()
        query.from_.add().collection_id = "handlers"
        query.limit.value = MAX_HANDLERS
        found = await self._database.query(query)
        return [handler_of(self._handlers.id(each.document.name), each.document.fields) for each in found]
