"""Queries, and reads of a part of documents: rare, one request each, never on the path of a job.

Used by the timers, the catalogue and the lists of jobs. Every combination of fields that a query asks for needs its
index in `deploy/firestore.indexes.json`; the emulator answers without.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final, TypeAlias

import grpc.aio

from shared.errors import StoreUnavailable
from shared.storage.firestore.admission import Admission
from shared.storage.firestore.connection import Connection
from shared.storage.firestore.limits import Limits
from shared.storage.firestore.protobuf import BatchGetDocumentsRequest, DocumentMask, Message, RunQueryRequest
from shared.storage.firestore.reader import Found
from shared.storage.firestore.retry import Retries
from shared.storage.firestore.status import Fate, fate
from shared.storage.firestore.target import Target
from shared.storage.firestore.values import micros

_LASTING: Final = (Fate.DENIED, Fate.INVALID)

_Call: TypeAlias = Callable[[float], AsyncIterator[Found]]
"""Sends the request with so many seconds to answer. Raises grpc.aio.AioRpcError."""


class Queries:
    """target: the database, and the collections' parent, which requests carry."""

    def __init__(self, connection: Connection, target: Target, limits: Limits, retries: Retries) -> None:
        self._connection = connection
        self._target = target
        self._deadline_seconds = limits.deadline_seconds
        self._retries = retries
        self._admission = Admission("queries", calls=limits.max_pending_queries)
        self._places = asyncio.Semaphore(limits.queries_in_flight)

    async def run(self, query: Message, most_bytes: int | None = None) -> Sequence[Found]:
        """The documents that a StructuredQuery finds, in its order; with `most_bytes` those up to the one that makes
        them so many. Raises StoreUnavailable, Overloaded.
        """
        request = RunQueryRequest(parent=self._target.documents, structured_query=query).SerializeToString()

        async def call(timeout: float) -> AsyncIterator[Found]:
            size = 0
            async for reply in self._connection.run_query(request, timeout=timeout):
                if reply.HasField("document"):
                    yield Found(reply.document, micros(reply.read_time))
                    size += reply.ByteSize() if most_bytes else 0
                if most_bytes and size >= most_bytes:
                    return

        return await self._answered(call)

    async def pick(self, names: Iterable[str], fields: Iterable[str]) -> Sequence[Found]:
        """Those that exist of the documents of these full names, in any order, with these fields alone.

        Raises as `run`.
        """
        mask = DocumentMask(field_paths=fields)
        request = BatchGetDocumentsRequest(database=self._target.root, documents=names, mask=mask).SerializeToString()

        async def call(timeout: float) -> AsyncIterator[Found]:
            async for reply in self._connection.batch_get(request, timeout=timeout):
                if reply.HasField("found"):
                    yield Found(reply.found, micros(reply.read_time))

        return await self._answered(call)

    async def close(self) -> None:
        """Take no more queries, and wait for those under way (each has its deadline)."""
        await self._admission.close()

    async def _answered(self, call: _Call) -> Sequence[Found]:
        deadline = asyncio.get_running_loop().time() + self._deadline_seconds
        self._admission.enter()
        try:
            async with asyncio.timeout_at(deadline), self._places:
                return await self._until(deadline, call)
        except TimeoutError:
            raise StoreUnavailable("the deadline passed before Firestore answered") from None
        finally:
            self._admission.leave()

    async def _until(self, deadline: float, call: _Call) -> Sequence[Found]:
        attempts = 0
        while True:
            try:
                await self._connection.ready(deadline)
                return [found async for found in call(deadline - asyncio.get_running_loop().time())]
            except grpc.aio.AioRpcError as fault:
                if fate(fault.code()) in _LASTING or not self._retries.withdraw():
                    raise StoreUnavailable(f"the query failed: {fault.code().name}") from None
            attempts += 1
            await asyncio.sleep(self._retries.pause(attempts))
