"""Finished jobs, held in memory: they never change, so what is held is never stale.

Bounded by bytes; the job that was read longest ago goes first. None is held for longer than an hour, so that the end of
its retention is felt. A deleted one goes at once: every gateway hears of it, or forgets all that it holds when it may
have missed something.
"""

from collections import OrderedDict

from shared.clock import Clock
from shared.models.public import Snapshot

MAX_AGE_SECONDS = 3_600.0
MAX_DELETED = 10_000
"""Ids that are refused: reads that began before the deletion bring its data after it."""
_OVERHEAD_BYTES = 300


class Finished:
    def __init__(self, max_bytes: int, clock: Clock) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._bytes = 0
        self._held: OrderedDict[str, tuple[Snapshot, float]] = OrderedDict()
        self._deleted: OrderedDict[str, None] = OrderedDict()

    def get(self, id: str) -> Snapshot | None:
        held = self._held.get(id)
        if held is None:
            return None
        snapshot, until = held
        if until <= self._clock.monotonic():
            self._drop(id)
            return None
        self._held.move_to_end(id)
        return snapshot

    def put(self, snapshot: Snapshot) -> None:
        """Hold the snapshot if it is final; if it says that its job is deleted, never hold that job again."""
        if snapshot.deleted:
            self._forget(snapshot.id)
        elif snapshot.final and snapshot.id not in self._held and snapshot.id not in self._deleted:
            self._held[snapshot.id] = (snapshot, self._clock.monotonic() + MAX_AGE_SECONDS)
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
            self._bytes -= _size(held[0])


def _size(snapshot: Snapshot) -> int:
    return len(snapshot.body) + _OVERHEAD_BYTES
