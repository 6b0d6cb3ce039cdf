"""Queries: rare, one request each, never on the path of a job. Used by the timers and the catalogue.

Every combination of fields that is asked for needs its index in
`deploy/firestore.indexes.json`; the emulator answers without.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import grpc.aio

from shared.errors import StoreUnavailable
from shared.storage.firestore.admission import Admission
from shared.storage.firestore.connection import Connection
from shared.storage.firestore.limits import Limits
from shared.storage.firestore.protobuf import Message, RunQueryRequest
from shared.storage.firestore.reader import Found
from shared.storage.firestore.retry import Retries
from shared.storage.firestore.status import Fate, fate
from shared.storage.firestore.values import micros

_LASTING: Final = (Fate.DENIED, Fate.INVALID)


class Queries:
    """documents: the name of the collections' parent, which every request carries."""

    def __init__(self, connection: Connection, documents: str, limits: Limits, retries: Retries) -> None:
        self._connection = connection
        self._documents = documents
        self._deadline_seconds = limits.deadline_seconds
        self._retries = retries
        self._admission = Admission("queries", calls=limits.max_pending_queries)
        self._places = asyncio.Semaphore(limits.queries_in_flight)

    async def run(self, query: Message) -> Sequence[Found]:
        """The documents that a StructuredQuery finds, in its order. Raises StoreUnavailable, Overloaded."""
        deadline = asyncio.get_running_loop().time() + self._deadline_seconds
        request = RunQueryRequest(parent=self._documents, structured_query=query).SerializeToString()
        self._admission.enter()
        try:
            async with asyncio.timeout_at(deadline), self._places:
                return await self._until(deadline, request)
        except TimeoutError:
            raise StoreUnavailable("the deadline passed before Firestore answered") from None
        finally:
            self._admission.leave()

    async def close(self) -> None:
        """Take no more queries, and wait for those under way (each has its deadline)."""
        await self._admission.close()

    async def _until(self, deadline: float, request: bytes) -> Sequence[Found]:
        attempts = 0
        while True:
            try:
                return await self._attempt(deadline, request)
            except grpc.aio.AioRpcError as fault:
                if fate(fault.code()) in _LASTING or not self._retries.withdraw():
                    raise StoreUnavailable(f"the query failed: {fault.code().name}") from None
            attempts += 1
            await asyncio.sleep(self._retries.pause(attempts))

    async def _attempt(self, deadline: float, request: bytes) -> Sequence[Found]:
        await self._connection.ready(deadline)
        timeout = deadline - asyncio.get_running_loop().time()
        replies = self._connection.run_query(request, timeout=timeout)
        return [Found(reply.document, micros(reply.read_time)) async for reply in replies if reply.HasField("document")]
