"""A write on its way: what is to be sent, for whom, and what is known of its fate; and the order in which writes go.

Settling is safe at any time: a caller that left, or whose deadline passed, has its answer dropped. Used by the writer.
"""

import asyncio
from collections import deque
from typing import Final

from shared.errors import CommitUnknown, DocumentRefused, SluiceError, StoreUnavailable
from shared.storage.contract import Conflict, Version, WriteResult
from shared.storage.firestore.status import Fate


class PendingWrite:
    """One caller's write.

    payload: a serialised request that holds this write alone; requests of several are spliced from these.
    deadline: on the loop's clock.
    """

    __slots__ = ("attempts", "deadline", "done", "doubtful", "name", "payload", "sent")

    def __init__(self, name: str, payload: bytes, done: asyncio.Future[WriteResult], deadline: float) -> None:
        self.name: Final = name
        self.payload: Final = payload
        self.done: Final = done
        self.deadline: Final = deadline
        self.attempts = 0
        self.sent = False
        """A request with it is under way."""
        self.doubtful = False
        """An earlier request with it may have been applied."""

    def applied(self, version: Version) -> None:
        """Certain even after a doubt: under its precondition a write is applied once, so it was this time."""
        if not self.done.done():
            self.done.set_result(version)

    def meet(self, obstacle: Conflict | Fate) -> bool:
        """The write was not applied, for this reason. Settle it if that is the end, and tell whether it is."""
        if isinstance(obstacle, Conflict):
            self._conflicted(obstacle)
        elif obstacle is Fate.INVALID:
            self._fail(DocumentRefused("Firestore found the document invalid"))
        elif obstacle is Fate.DENIED:
            self.give_up("Firestore denied the write")
        else:
            self.doubtful |= obstacle is Fate.DOUBT
            return False
        return True

    def _conflicted(self, conflict: Conflict) -> None:
        if self.doubtful:
            self._fail(CommitUnknown("an earlier attempt may have been applied: the conflict may be with it"))
        elif not self.done.done():
            self.done.set_result(conflict)

    def give_up(self, why: str) -> None:
        """No more attempts, for the reason given: CommitUnknown if one may have been applied, else StoreUnavailable."""
        self._fail((CommitUnknown if self.sent or self.doubtful else StoreUnavailable)(why))

    def expire(self) -> None:
        self.give_up("the deadline passed before Firestore answered")

    def _fail(self, fault: SluiceError) -> None:
        if not self.done.done():
            self.done.set_exception(fault)


class DocumentQueue:
    """First in, first out, but for writes of one document: each waits until the one before it is over.

    So a request never holds a document twice, which Firestore refuses, and a document's writes arrive in their order.
    """

    def __init__(self) -> None:
        self._ready: deque[PendingWrite] = deque()
        self._behind: dict[str, deque[PendingWrite] | None] = {}
        """A key for each document with a write that is ready or under way; its value, the writes behind that one."""

    def put(self, write: PendingWrite) -> None:
        if write.name not in self._behind:
            self._behind[write.name] = None
            self._ready.append(write)
            return
        queue = self._behind[write.name]
        if queue is None:
            queue = self._behind[write.name] = deque()
        queue.append(write)

    def put_back(self, write: PendingWrite) -> None:
        """Let a write that was taken go again."""
        self._ready.append(write)

    def release(self, write: PendingWrite) -> None:
        """A write that was taken is over: let the one behind it go."""
        queue = self._behind.pop(write.name)
        while queue:
            following = queue.popleft()
            if not following.done.done():
                self._behind[write.name] = queue
                self._ready.append(following)
                return

    def take(self, *, most: int, size: int) -> list[PendingWrite]:
        """Up to `most` writes whose payloads are up to `size` bytes together; a first one is taken whatever its size.

        Those whose callers are gone are dropped on the way.
        """
        taken: list[PendingWrite] = []
        while self._ready and len(taken) < most:
            write = self._ready[0]
            size -= len(write.payload)
            if size < 0 and taken:
                break
            self._ready.popleft()
            if write.done.done():
                self.release(write)
            else:
                taken.append(write)
        return taken
