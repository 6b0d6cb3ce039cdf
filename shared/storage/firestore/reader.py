"""Reads made in the same moment travel as one BatchGetDocuments. Used by the repositories, through the database.

Callers of one document share its place in the request, but nobody joins a request that has left: what it brings may be
older than what this caller has already seen.
"""

import asyncio
import itertools
from collections.abc import Coroutine
from dataclasses import dataclass

import grpc.aio

from shared.deadlines import Deadlines
from shared.errors import StoreUnavailable
from shared.storage.contract import Version
from shared.storage.firestore.admission import Admission
from shared.storage.firestore.batcher import MicroBatcher
from shared.storage.firestore.connection import Connection
from shared.storage.firestore.limits import MAX_READS, Limits
from shared.storage.firestore.protobuf import BatchGetDocumentsRequest, Message
from shared.storage.firestore.retry import Retries
from shared.storage.firestore.status import Fate, fate
from shared.storage.firestore.values import micros


@dataclass(frozen=True, slots=True)
class Found:
    """A document as read."""

    document: Message
    read_at: int
    """Microseconds, by the store's clock."""

    @property
    def version(self) -> Version:
        return Version(micros(self.document.update_time))


class _Wanted:
    """Everybody who waits for one document."""

    __slots__ = ("deadline", "waiters")

    def __init__(self) -> None:
        self.waiters: list[asyncio.Future[Found | None]] = []
        self.deadline = 0.0
        """The last of the waiters', on the loop's clock."""

    def deliver(self, found: Found | None) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(found)

    def fail(self, why: str) -> None:
        for waiter in self.waiters:
            _fail(waiter, why)

    @property
    def abandoned(self) -> bool:
        return all(waiter.done() for waiter in self.waiters)


class Reader:
    """root: the database's name, which every request carries."""

    def __init__(self, connection: Connection, root: str, limits: Limits, retries: Retries) -> None:
        self._connection = connection
        self._root = root
        self._deadline_seconds = limits.deadline_seconds
        self._retries = retries
        self._admission = Admission("reads", calls=limits.max_pending_reads)
        self._waiting: dict[str, _Wanted] = {}
        self._batcher = MicroBatcher(self._next_batch, in_flight=limits.reads_in_flight)
        self._deadlines = Deadlines(_expire)
        self._loop = asyncio.get_running_loop()

    async def read(self, name: str) -> Found | None:
        """The document of that full name, as it is now or later; None if there is none.

        Raises StoreUnavailable, Overloaded.
        """
        self._admission.enter()
        waiter: asyncio.Future[Found | None] = self._loop.create_future()
        wanted = self._waiting.get(name)
        if wanted is None:
            wanted = self._waiting[name] = _Wanted()
        wanted.waiters.append(waiter)
        wanted.deadline = self._loop.time() + self._deadline_seconds
        due = self._deadlines.add(waiter, wanted.deadline)
        self._batcher.wake()
        try:
            return await waiter
        finally:
            due.discard(waiter)
            self._admission.leave()

    async def close(self) -> None:
        """Take no more reads, wait for those under way (each has its deadline), and end."""
        await self._admission.close()
        await self._batcher.close()

    def _next_batch(self) -> Coroutine[None, None, None] | None:
        names = list(itertools.islice(self._waiting, MAX_READS))
        return self._fetch({name: self._waiting.pop(name) for name in names}) if names else None

    async def _fetch(self, batch: dict[str, _Wanted]) -> None:
        for attempts in itertools.count(1):
            failure = await self._attempt(batch)
            for name in [name for name, wanted in batch.items() if wanted.abandoned]:
                del batch[name]
            if not batch:
                return
            if failure is Fate.DENIED or failure is Fate.INVALID or not self._retries.withdraw():
                break
            await asyncio.sleep(self._retries.pause(attempts))
        for wanted in batch.values():
            wanted.fail("Firestore did not answer the read")

    async def _attempt(self, batch: dict[str, _Wanted]) -> Fate:
        """Ask once, taking out of `batch` what is answered. The fate is that of the rest."""
        deadline = max(wanted.deadline for wanted in batch.values())
        request = BatchGetDocumentsRequest(database=self._root, documents=batch).SerializeToString()
        try:
            await self._connection.ready(deadline)
            async for reply in self._connection.batch_get(request, timeout=deadline - self._loop.time()):
                self._deliver(batch, reply)
        except StoreUnavailable:
            return Fate.DENIED
        except grpc.aio.AioRpcError as fault:
            return fate(fault.code())
        return Fate.DOUBT

    def _deliver(self, batch: dict[str, _Wanted], reply: Message) -> None:
        wanted = batch.pop(reply.missing or reply.found.name, None)
        if wanted is not None:
            wanted.deliver(None if reply.missing else Found(reply.found, micros(reply.read_time)))
            self._retries.succeeded()


def _expire(waiter: asyncio.Future[Found | None]) -> None:
    _fail(waiter, "the deadline passed before Firestore answered")


def _fail(waiter: asyncio.Future[Found | None], why: str) -> None:
    if not waiter.done():
        waiter.set_exception(StoreUnavailable(why))
