"""`queues/{name}`: what operators have said of queues. The contract's QueueControls on Firestore."""

from collections.abc import Sequence
from typing import Final

from shared.models.queue import QueueControl
from shared.storage.firestore import fields as read
from shared.storage.firestore import writes
from shared.storage.firestore.database import FirestoreDatabase
from shared.storage.firestore.protobuf import BatchWriteRequest, Message, StructuredQuery
from shared.storage.firestore.values import set_time
from shared.storage.firestore.writes import ENCODING

QUEUE_FIELDS: Final = ("paused_at",)
MAX_QUEUES: Final = 1_000


def set_control(fields: Message, control: QueueControl) -> None:
    """Fill in QUEUE_FIELDS."""
    if control.paused_at is not None:
        set_time(fields, "paused_at", control.paused_at)


def control_of(name: str, fields: Message) -> QueueControl:
    """The control in a document's fields."""
    return QueueControl(name, read.optional_time(fields, "paused_at"))


class FirestoreQueueControls:
    """See `QueueControls`."""

    def __init__(self, database: FirestoreDatabase) -> None:
        self._database = database
        self._queues = database.collection("queues")

    async def put(self, control: QueueControl) -> None:
        name = self._queues.name(control.name)
        request = BatchWriteRequest()
        with ENCODING:
            set_control(writes.put(request, name), control)
        await self._database.write(name, request.SerializeToString())

    async def all(self) -> Sequence[QueueControl]:
        query = StructuredQuery()
        query.from_.add().collection_id = "queues"
        query.limit.value = MAX_QUEUES
        found = await self._database.query(query)
        return [control_of(self._queues.id(each.document.name), each.document.fields) for each in found]
