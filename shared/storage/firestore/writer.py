"""Group-committed conditional writes: callers await single writes, BatchWrite carries those of one moment together.

Each write of a BatchWrite stands alone: its own precondition, its own status. A request that Firestore refuses as a
whole for one bad document is halved until that one is found, so it never fails its neighbours. `status` tells which
failures are tried again, and which leave a doubt. Used by the repositories, through the database.
"""

import asyncio
from collections.abc import Coroutine
from typing import Final

import grpc.aio

from shared.deadlines import Deadlines
from shared.errors import DocumentRefused, StoreUnavailable
from shared.storage.contract import Version, WriteResult
from shared.storage.firestore.admission import Admission
from shared.storage.firestore.batcher import MicroBatcher
from shared.storage.firestore.connection import Connection
from shared.storage.firestore.limits import MAX_REQUEST_BYTES, MAX_WRITES, Limits
from shared.storage.firestore.pending import DocumentQueue, PendingWrite
from shared.storage.firestore.protobuf import BatchWriteRequest, Message
from shared.storage.firestore.retry import Retries
from shared.storage.firestore.status import OK, Fate, fate, outcome
from shared.storage.firestore.values import micros

_TROUBLE: Final = "Firestore did not take the write before its deadline"


class Writer:
    """root: the database's name, which every request carries."""

    def __init__(self, connection: Connection, root: str, limits: Limits, retries: Retries) -> None:
        self._connection = connection
        self._head: bytes = BatchWriteRequest(database=root).SerializeToString()
        self._deadline_seconds = limits.deadline_seconds
        self._retries = retries
        self._admission = Admission("writes", calls=limits.max_pending_writes, size=limits.max_pending_write_bytes)
        self._queue = DocumentQueue()
        self._batcher = MicroBatcher(self._next_batch, in_flight=limits.writes_in_flight)
        self._deadlines = Deadlines(PendingWrite.expire)
        self._loop = asyncio.get_running_loop()

    async def write(self, name: str, payload: bytes) -> WriteResult:
        """Apply one write and tell how it went.

        name: of the document it is about.
        payload: a serialised BatchWriteRequest with this write and nothing else. Joining serialised messages merges
            them (https://protobuf.dev/programming-guides/encoding/#last-one-wins), which is how they travel together.
        Raises StoreUnavailable, CommitUnknown, DocumentRefused, Overloaded.
        """
        size = len(payload)
        if size > MAX_REQUEST_BYTES:
            raise DocumentRefused("the document is larger than a request may be")
        self._admission.enter(size)
        write = PendingWrite(name, payload, self._loop.create_future(), self._loop.time() + self._deadline_seconds)
        due = self._deadlines.add(write, write.deadline)
        self._queue.put(write)
        self._batcher.wake()
        try:
            return await write.done
        finally:
            due.discard(write)
            self._admission.leave(size)

    async def close(self) -> None:
        """Take no more writes, wait for those under way (each has its deadline), and end."""
        await self._admission.close()
        await self._batcher.close()

    def _next_batch(self) -> Coroutine[None, None, None] | None:
        writes = self._queue.take(most=MAX_WRITES, size=MAX_REQUEST_BYTES)
        return self._send(writes) if writes else None

    async def _send(self, writes: list[PendingWrite]) -> None:
        deadline = max(write.deadline for write in writes)
        try:
            await self._connection.ready(deadline)
            writes = self._still_wanted(writes)
            if not writes:
                return
            reply = await self._request(writes, deadline)
            if len(reply.status) == len(reply.write_results) == len(writes):
                self._settle(writes, reply)
            else:
                await self._failed(writes, Fate.DOUBT)
        except StoreUnavailable:
            self._give_up(writes)
        except grpc.aio.AioRpcError as fault:
            await self._failed(writes, fate(fault.code()))

    def _still_wanted(self, writes: list[PendingWrite]) -> list[PendingWrite]:
        """Without those whose callers have left, or been told that nothing was written: that must stay true."""
        wanted = []
        for write in writes:
            if write.done.done():
                self._queue.release(write)
            else:
                wanted.append(write)
        return wanted

    async def _request(self, writes: list[PendingWrite], deadline: float) -> Message:
        for write in writes:
            write.sent = True
        request = b"".join((self._head, *[write.payload for write in writes]))
        return await self._connection.batch_write(request, timeout=deadline - self._loop.time())

    def _settle(self, writes: list[PendingWrite], reply: Message) -> None:
        again = []
        for write, status, result in zip(writes, reply.status, reply.write_results, strict=True):
            write.sent = False
            if status.code == OK:
                write.applied(Version(micros(result.update_time)))
                self._retries.succeeded()
                self._queue.release(write)
            elif write.meet(outcome(status.code)):
                self._queue.release(write)
            else:
                again.append(write)
        self._retry(again)

    async def _failed(self, writes: list[PendingWrite], why: Fate) -> None:
        """The request failed as a whole."""
        for write in writes:
            write.sent = False
        if why is Fate.INVALID and len(writes) > 1:
            middle = len(writes) // 2
            await self._send(writes[:middle])
            await self._send(writes[middle:])
            return
        again = []
        for write in writes:
            if write.meet(why):
                self._queue.release(write)
            else:
                again.append(write)
        self._retry(again)

    def _retry(self, writes: list[PendingWrite]) -> None:
        """Send them again after a pause: all together, for their attempts failed together."""
        if not writes:
            return
        for write in writes:
            write.attempts += 1
        delay = self._retries.pause(max(write.attempts for write in writes))
        at = self._loop.time() + delay
        going: list[PendingWrite] = []
        late: list[PendingWrite] = []
        for write in writes:
            (going if at < write.deadline and self._retries.withdraw() else late).append(write)
        self._give_up(late)
        self._loop.call_later(delay, self._again, going)

    def _again(self, writes: list[PendingWrite]) -> None:
        for write in writes:
            self._queue.put_back(write)
        self._batcher.wake()

    def _give_up(self, writes: list[PendingWrite]) -> None:
        for write in writes:
            write.give_up(_TROUBLE)
            self._queue.release(write)
