"""`terms/{term}` and `allotments/{group}`: who has which shards. The contract's ShardLeases on Firestore.

`replaces` holds the version that was replaced, as in `job_codec`: every write must give a later one, and
a renewal above all.
"""

from collections.abc import Sequence
from typing import Final

from shared.storage.contract import Stored, Version, WriteResult
from shared.storage.firestore import fields as read
from shared.storage.firestore import writes
from shared.storage.firestore.database import FirestoreDatabase
from shared.storage.firestore.protobuf import EQUAL, BatchWriteRequest, Message
from shared.storage.firestore.structured import query_of, where
from shared.storage.firestore.values import set_time
from shared.storage.firestore.writes import ENCODING
from shared.storage.shard_leases import Allotment, Term

TERM_FIELDS: Final = ("group", "instance", "lease_seconds", "expire_at", "replaces")
ALLOTMENT_FIELDS: Final = ("holders", "replaces")
MAX_TERMS: Final = 100


def set_term(fields: Message, group: str, term: Term, replaces: Version | None) -> None:
    """Fill in TERM_FIELDS."""
    fields["group"].string_value = group
    fields["instance"].string_value = term.instance
    fields["lease_seconds"].integer_value = term.lease_seconds
    set_time(fields, "expire_at", term.expire_at)
    writes.set_replaces(fields, replaces)


def term_of(id: str, fields: Message) -> Term:
    """The term in a document's fields."""
    return Term(
        id, read.text(fields, "instance"), read.integer(fields, "lease_seconds"), read.time(fields, "expire_at")
    )


def set_allotment(fields: Message, allotment: Allotment, replaces: Version | None) -> None:
    """Fill in ALLOTMENT_FIELDS: an element a shard, empty where nobody has it."""
    holders = fields["holders"].array_value
    holders.SetInParent()  # an array, also where nobody has anything
    values = holders.values
    for shard in range(max(allotment.holders, default=-1) + 1):
        values.add().string_value = allotment.holders.get(shard, "")
    writes.set_replaces(fields, replaces)


def allotment_of(fields: Message) -> Allotment:
    """The allotment in a document's fields."""
    values = fields["holders"].array_value.values
    return Allotment({shard: each.string_value for shard, each in enumerate(values) if each.string_value})


class FirestoreShardLeases:
    """See `ShardLeases`."""

    def __init__(self, database: FirestoreDatabase, group: str) -> None:
        self._database = database
        self._group = group
        self._terms = database.collection("terms")
        self._name = database.collection("allotments").name(group)

    async def renew(self, term: Term, held: Version | None) -> WriteResult:
        name = self._terms.name(term.id)
        request = BatchWriteRequest()
        with ENCODING:
            set_term(writes.create_or_replace(request, name, held), self._group, term, held)
        return await self._database.write(name, request.SerializeToString())

    async def end(self, id: str, held: Version) -> WriteResult:
        return await self._database.delete(self._terms.name(id), held)

    async def terms(self) -> Sequence[Stored[Term]]:
        query = query_of("terms", MAX_TERMS)
        where(query, "group", EQUAL).string_value = self._group
        found = await self._database.query(query)
        return [
            Stored(term_of(self._terms.id(each.document.name), each.document.fields), each.version, each.read_at)
            for each in found
        ]

    async def allotment(self) -> Stored[Allotment] | None:
        found = await self._database.read(self._name)
        return None if found is None else Stored(allotment_of(found.document.fields), found.version, found.read_at)

    async def allot(self, allotment: Allotment, held: Version | None) -> WriteResult:
        request = BatchWriteRequest()
        with ENCODING:
            set_allotment(writes.create_or_replace(request, self._name, held), allotment, held)
        return await self._database.write(self._name, request.SerializeToString())
