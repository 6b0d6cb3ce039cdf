"""`leases/{group}:{name}`: what one process at a time may hold. The contract's Leases on Firestore.

`replaces` holds the version that a renewal found: Firestore keeps the old update time for a write that changes nothing.
"""

from collections.abc import Sequence
from typing import Final

from shared.storage.contract import Stored, Version, WriteResult
from shared.storage.firestore import fields as read
from shared.storage.firestore import writes
from shared.storage.firestore.database import FirestoreDatabase
from shared.storage.firestore.protobuf import EQUAL, BatchWriteRequest, Message, StructuredQuery
from shared.storage.firestore.writes import ENCODING
from shared.storage.webhook_contract import Lease

LEASE_FIELDS: Final = ("group", "name", "owner", "seconds", "replaces")


class FirestoreLeases:
    """See `Leases`."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database
        self._leases = database.collection("leases")

    async def all(self, group: str) -> Sequence[Stored[Lease]]:
        query = StructuredQuery()
        query.from_.add().collection_id = "leases"
        equal = query.where.field_filter
        equal.field.field_path = "group"
        equal.op = EQUAL
        equal.value.string_value = group
        found = [(_lease_of(each.document.fields), each) for each in await self._database.query(query)]
        return [Stored(lease, each.version, each.read_at) for lease, each in sorted(found, key=lambda f: f[0].name)]

    async def take(self, lease: Lease, held: Version | None) -> WriteResult:
        name = self._name(lease)
        request = BatchWriteRequest()
        with ENCODING:
            fields = writes.create_or_replace(request, name, held)
            fields["group"].string_value = lease.group
            fields["name"].string_value = lease.name
            fields["owner"].string_value = lease.owner
            fields["seconds"].double_value = lease.seconds
            writes.set_replaces(fields, held)
        return await self._database.write(name, request.SerializeToString())

    async def drop(self, lease: Lease, held: Version) -> WriteResult:
        return await self._database.delete(self._name(lease), held)

    def _name(self, lease: Lease) -> str:
        return self._leases.name(f"{lease.group}:{lease.name}")


def _lease_of(fields: Message) -> Lease:
    return Lease(
        read.text(fields, "group"), read.text(fields, "name"), read.text(fields, "owner"), read.real(fields, "seconds")
    )
