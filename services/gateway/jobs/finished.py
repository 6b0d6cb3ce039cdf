"""Finished jobs, held in memory: they never change, so what is held is never stale.

Bounded by bytes; the job that was read longest ago goes first. None is held for longer than an hour, so that the end of
its retention is felt. A deleted one goes at once: every gateway hears of it, or forgets all that it holds when it may
have missed something.
"""

from collections import OrderedDict
from dataclasses import dataclass

from shared.clock import Clock
from shared.models.public import Snapshot

MAX_AGE_SECONDS = 3_600.0
MAX_DELETED = 10_000
"""Ids that are refused: reads that began before the deletion bring its data after it."""
OVERHEAD_BYTES = 600


@dataclass(slots=True)
class Kept:
    """A finished job."""

    snapshot: Snapshot
    until: float
    tenant: str | None = None
    """Whose it is, once somebody's id for it was verified."""
    head: bytes = b""
    """Of its answer, once it was given."""


class Finished:
    def __init__(self, max_bytes: int, clock: Clock) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._bytes = 0
        self._held: OrderedDict[str, Kept] = OrderedDict()
        self._deleted: OrderedDict[str, None] = OrderedDict()

    def get(self, id: str) -> Snapshot | None:
        kept = self.kept(id)
        return kept.snapshot if kept else None

    def kept(self, id: str) -> Kept | None:
        """As `get`, with what is kept beside it."""
        kept = self._held.get(id)
        if kept is None:
            return None
        if kept.until <= self._clock.monotonic():
            self._drop(id)
            return None
        self._held.move_to_end(id)
        return kept

    def put(self, snapshot: Snapshot) -> None:
        """Hold the snapshot if it is final; if it says that its job is deleted, never hold that job again."""
        if snapshot.deleted:
            self._forget(snapshot.id)
        elif snapshot.final and snapshot.id not in self._held and snapshot.id not in self._deleted:
            self._held[snapshot.id] = Kept(snapshot, self._clock.monotonic() + MAX_AGE_SECONDS)
            self._bytes += _size(snapshot)
            while self._bytes > self._max_bytes:
                self._drop(next(iter(self._held)))

    def is_deleted(self, id: str) -> bool:
        """Whether this gateway knows that the job was deleted; Redis may not, if it was away."""
        return id in self._deleted

    def clear(self) -> None:
        """Forget everything that is held."""
        self._held.clear()
        self._bytes = 0

    def _forget(self, id: str) -> None:
        self._drop(id)
        self._deleted[id] = None
        if len(self._deleted) > MAX_DELETED:
            self._deleted.popitem(last=False)

    def _drop(self, id: str) -> None:
        held = self._held.pop(id, None)
        if held is not None:
            self._bytes -= _size(held.snapshot)


def _size(snapshot: Snapshot) -> int:
    return len(snapshot.body) + OVERHEAD_BYTES
