"""`keys/{key id}`: API keys without their secrets. The contract's Keys and KeyRing on Firestore."""

from collections.abc import Sequence
from typing import Final

from shared.models.key import ApiKey
from shared.storage.contract import Stored, Version, WriteResult
from shared.storage.firestore import fields as read
from shared.storage.firestore import writes
from shared.storage.firestore.database import FirestoreDatabase
from shared.storage.firestore.protobuf import ASCENDING, EQUAL, BatchWriteRequest, Message, StructuredQuery
from shared.storage.firestore.values import set_time
from shared.storage.firestore.writes import ENCODING

KEY_FIELDS: Final = (
    "tenant",
    "secret_sha256",
    "scopes",
    "requests_per_second",
    "burst",
    "expires_at",
    "revoked_at",
    "name",
    "created_at",
    "previous_sha256",
    "previous_until",
)


def set_key(fields: Message, key: ApiKey) -> None:
    """Fill in KEY_FIELDS."""
    fields["tenant"].string_value = key.tenant
    fields["secret_sha256"].bytes_value = key.secret_sha256
    for scope in sorted(key.scopes):
        fields["scopes"].array_value.values.add().string_value = scope
    for name, number in (("requests_per_second", key.requests_per_second), ("burst", key.burst)):
        if number is not None:
            fields[name].integer_value = number
    if key.name:
        fields["name"].string_value = key.name
    if key.previous_sha256 is not None:
        fields["previous_sha256"].bytes_value = key.previous_sha256
    for name, at in (
        ("expires_at", key.expires_at),
        ("revoked_at", key.revoked_at),
        ("created_at", key.created_at),
        ("previous_until", key.previous_until),
    ):
        if at is not None:
            set_time(fields, name, at)


def key_of(id: str, fields: Message) -> ApiKey:
    """The key in a document's fields."""
    scopes = fields.get("scopes")
    return ApiKey(
        id=id,
        tenant=read.text(fields, "tenant"),
        secret_sha256=read.data(fields, "secret_sha256"),
        scopes=frozenset(() if scopes is None else (scope.string_value for scope in scopes.array_value.values)),
        requests_per_second=read.optional_integer(fields, "requests_per_second"),
        burst=read.optional_integer(fields, "burst"),
        expires_at=read.optional_time(fields, "expires_at"),
        revoked_at=read.optional_time(fields, "revoked_at"),
        name=read.text(fields, "name"),
        created_at=read.optional_time(fields, "created_at"),
        previous_sha256=read.optional_data(fields, "previous_sha256"),
        previous_until=read.optional_time(fields, "previous_until"),
    )


class FirestoreKeys:
    """See `Keys` and `KeyRing`."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database
        self._keys = database.collection("keys")

    async def find(self, id: str) -> ApiKey | None:
        stored = await self.read(id)
        return None if stored is None else stored.value

    async def put(self, key: ApiKey) -> None:
        request = BatchWriteRequest()
        with ENCODING:
            set_key(writes.put(request, self._keys.name(key.id)), key)
        await self._write(key.id, request)

    async def read(self, id: str) -> Stored[ApiKey] | None:
        found = await self._database.read(self._keys.name(id))
        return None if found is None else Stored(key_of(id, found.document.fields), found.version, found.read_at)

    async def create(self, key: ApiKey) -> WriteResult:
        request = BatchWriteRequest()
        with ENCODING:
            set_key(writes.create(request, self._keys.name(key.id)), key)
        return await self._write(key.id, request)

    async def replace(self, key: ApiKey, held: Version) -> WriteResult:
        request = BatchWriteRequest()
        with ENCODING:
            set_key(writes.replace(request, self._keys.name(key.id), held), key)
        return await self._write(key.id, request)

    async def page(self, tenant: str | None, *, after: str, limit: int) -> Sequence[ApiKey]:
        query = _by_id(tenant, limit)
        if after:
            query.start_at.values.add().reference_value = self._keys.name(after)  # not `before` it: behind it
        found = await self._database.query(query)
        return [key_of(self._keys.id(each.document.name), each.document.fields) for each in found]

    async def _write(self, id: str, request: Message) -> WriteResult:
        return await self._database.write(self._keys.name(id), request.SerializeToString())


def _by_id(tenant: str | None, limit: int) -> Message:
    """The index that Firestore keeps of `tenant` by itself is in the order of ids within each tenant."""
    query = StructuredQuery()
    query.from_.add().collection_id = "keys"
    if tenant is not None:
        equal = query.where.field_filter
        equal.field.field_path = "tenant"
        equal.op = EQUAL
        equal.value.string_value = tenant
    order = query.order_by.add()
    order.field.field_path = "__name__"
    order.direction = ASCENDING
    query.limit.value = limit
    return query
