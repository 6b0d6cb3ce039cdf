"""`idempotency/{hash}`: requests with an Idempotency-Key. The contract's Idempotency on Firestore.

`replaces` holds the version that was replaced, as in `job_codec`: every write must give a later version.
"""

from typing import Final

from shared.storage.contract import KeyedRequest, Stored, Version, WriteResult
from shared.storage.firestore import fields as read
from shared.storage.firestore import writes
from shared.storage.firestore.database import FirestoreDatabase
from shared.storage.firestore.protobuf import BatchWriteRequest, Message
from shared.storage.firestore.values import set_time
from shared.storage.firestore.writes import ENCODING

REQUEST_FIELDS: Final = ("id", "fingerprint", "accept_seconds", "expire_at", "replaces")


def set_request(fields: Message, request: KeyedRequest, replaces: Version | None = None) -> None:
    """Fill in REQUEST_FIELDS."""
    fields["id"].string_value = request.id
    fields["fingerprint"].string_value = request.fingerprint
    fields["accept_seconds"].integer_value = request.accept_seconds
    set_time(fields, "expire_at", request.expire_at)
    writes.set_replaces(fields, replaces)


def request_of(fields: Message) -> KeyedRequest:
    """The request in a document's fields."""
    return KeyedRequest(
        id=read.text(fields, "id"),
        fingerprint=read.text(fields, "fingerprint"),
        accept_seconds=read.integer(fields, "accept_seconds"),
        expire_at=read.time(fields, "expire_at"),
    )


class FirestoreIdempotency:
    """See `Idempotency`."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database
        self._requests = database.collection("idempotency")

    async def create(self, hash: str, request: KeyedRequest) -> WriteResult:
        name = self._requests.name(hash)
        write = BatchWriteRequest()
        with ENCODING:
            set_request(writes.create(write, name), request)
        return await self._database.write(name, write.SerializeToString())

    async def find(self, hash: str) -> Stored[KeyedRequest] | None:
        found = await self._database.read(self._requests.name(hash))
        return None if found is None else Stored(request_of(found.document.fields), found.version, found.read_at)

    async def replace(self, hash: str, request: KeyedRequest, held: Version) -> WriteResult:
        name = self._requests.name(hash)
        write = BatchWriteRequest()
        with ENCODING:
            set_request(writes.update(write, name, held, REQUEST_FIELDS), request, held)
        return await self._database.write(name, write.SerializeToString())
