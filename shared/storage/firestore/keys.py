"""`keys/{key id}`: API keys without their secrets. The contract's Keys on Firestore."""

from typing import Final

from shared.models.key import ApiKey
from shared.storage.firestore import fields as read
from shared.storage.firestore import writes
from shared.storage.firestore.database import FirestoreDatabase
from shared.storage.firestore.protobuf import BatchWriteRequest, Message
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
    for name, at in (("expires_at", key.expires_at), ("revoked_at", key.revoked_at)):
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
    )


class FirestoreKeys:
    """See `Keys`."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database
        self._keys = database.collection("keys")

    async def find(self, id: str) -> ApiKey | None:
        found = await self._database.read(self._keys.name(id))
        return None if found is None else key_of(id, found.document.fields)

    async def put(self, key: ApiKey) -> None:
        name = self._keys.name(key.id)
        request = BatchWriteRequest()
        with ENCODING:
            set_key(writes.put(request, name), key)
        await self._database.write(name, request.SerializeToString())
