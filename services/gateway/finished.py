"""Finished jobs, held in memory: they never change, so what is held is never stale.

Bounded by bytes; the job that was read longest ago goes first.
"""

from collections import OrderedDict

from shared.models.public import Snapshot

_OVERHEAD_BYTES = 300


class Finished:
    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._held: OrderedDict[str, Snapshot] = OrderedDict()

    def get(self, id: str) -> Snapshot | None:
        held = self._held.get(id)
        if held is not None:
            self._held.move_to_end(id)
        return held

    def put(self, snapshot: Snapshot) -> None:
        """Hold the snapshot if it is terminal."""
        if not snapshot.terminal or snapshot.id in self._held:
            return
        self._held[snapshot.id] = snapshot
        self._bytes += _size(snapshot)
        while self._bytes > self._max_bytes:
            _, oldest = self._held.popitem(last=False)
            self._bytes -= _size(oldest)


def _size(snapshot: Snapshot) -> int:
    return len(snapshot.body) + _OVERHEAD_BYTES
