"""Atomic commits: several writes with their preconditions, all or none, in a request of their own.

Used where a job and its timer must change together; everything else goes through the writer, which is cheaper.
"""

import asyncio

import grpc.aio

from shared.errors import DocumentRefused, StoreUnavailable
from shared.storage.contract import Version, WriteResult
from shared.storage.firestore.admission import Admission
from shared.storage.firestore.connection import Connection
from shared.storage.firestore.limits import MAX_REQUEST_BYTES, Limits
from shared.storage.firestore.pending import PendingWrite
from shared.storage.firestore.protobuf import CommitRequest
from shared.storage.firestore.retry import Retries
from shared.storage.firestore.status import CONFLICTS, fate
from shared.storage.firestore.values import micros


class Committer:
    """root: the database's name, which every request carries."""

    def __init__(self, connection: Connection, root: str, limits: Limits, retries: Retries) -> None:
        self._connection = connection
        self._head: bytes = CommitRequest(database=root).SerializeToString()
        self._deadline_seconds = limits.deadline_seconds
        self._retries = retries
        self._admission = Admission("commits", calls=limits.max_pending_commits)
        self._places = asyncio.Semaphore(limits.commits_in_flight)
        self._loop = asyncio.get_running_loop()

    async def commit(self, payload: bytes) -> WriteResult:
        """Apply all writes of `payload` or none, and return the version that the first of them made.

        payload: a serialised CommitRequest with the writes and nothing else.
        A conflict is that of whichever write met one. Raises as `Writer.write`.
        """
        if len(payload) > MAX_REQUEST_BYTES:
            raise DocumentRefused("the documents are larger than a request may be")
        write = PendingWrite(
            "", self._head + payload, self._loop.create_future(), self._loop.time() + self._deadline_seconds
        )
        self._admission.enter()
        try:
            async with asyncio.timeout_at(write.deadline):
                await self._in_turn(write)
        except TimeoutError:
            write.expire()
        finally:
            self._admission.leave()
        return write.done.result()

    async def close(self) -> None:
        """Take no more commits, and wait for those under way (each has its deadline)."""
        await self._admission.close()

    async def _in_turn(self, write: PendingWrite) -> None:
        while not write.done.done():
            async with self._places:
                await self._attempt(write)
            if not write.done.done():
                await self._pause(write)

    async def _attempt(self, write: PendingWrite) -> None:
        try:
            await self._connection.ready(write.deadline)
            write.sent = True
            reply = await self._connection.commit(write.payload, timeout=write.deadline - self._loop.time())
        except StoreUnavailable as fault:
            write.give_up(str(fault))
        except grpc.aio.AioRpcError as fault:
            write.sent = False
            write.meet(CONFLICTS.get(fault.code()) or fate(fault.code()))
        else:
            self._retries.succeeded()
            write.applied(Version(micros(reply.write_results[0].update_time)))

    async def _pause(self, write: PendingWrite) -> None:
        write.attempts += 1
        if self._retries.withdraw():
            await asyncio.sleep(self._retries.pause(write.attempts))
        else:
            write.give_up("Firestore is in trouble, and enough is being tried again")
