"""The cache inside one process, with the semantics of the one on Redis. For tests, which share one among "processes".

It can be lost the way Redis can: `flush`, and `stop` and `start`.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Generic, Self, TypeVar

from shared.cache.contract import LIVE_TTL_SECONDS, TERMINAL_TTL_SECONDS, WATCH_TTL_SECONDS
from shared.clock import Clock
from shared.errors import CacheUnavailable
from shared.models.public import Snapshot

V = TypeVar("V")

MAX_HEARD = 10_000
"""Snapshots that a listener may leave unread before it loses its connection."""


class MemoryCache:
    """`Teller`, `Snapshots` and `Probe`. Times to live pass on the clock's monotonic time."""

    def __init__(self, clock: Clock) -> None:
        self._jobs: _Expiring[Snapshot] = _Expiring(clock)
        self._watches: _Expiring[set[str]] = _Expiring(clock)
        self._channels: dict[str, set[_Listener]] = {}
        self._stopped = False

    async def tell(self, snapshot: Snapshot) -> None:
        self._check()
        kept = self._jobs.get(snapshot.id)
        if kept is not None and kept.order > snapshot.order:
            return
        self._jobs.put(snapshot.id, snapshot, TERMINAL_TTL_SECONDS if snapshot.terminal else LIVE_TTL_SECONDS)
        for gateway in self._watches.get(snapshot.id) or ():
            self._publish(gateway, snapshot)
        if snapshot.terminal:
            self._watches.pop(snapshot.id)

    async def fetch(self, id: str) -> Snapshot | None:
        self._check()
        return self._jobs.get(id)

    async def watch(self, gateway: str, ids: Sequence[str]) -> Sequence[Snapshot | None]:
        self._check()
        return [self._watch(gateway, job) for job in ids]

    async def unwatch(self, gateway: str, id: str) -> None:
        self._check()
        watchers = self._watches.get(id)
        if watchers is not None:
            watchers.discard(gateway)

    @asynccontextmanager
    async def listen(self, gateway: str) -> AsyncIterator[AsyncIterator[Snapshot]]:
        self._check()
        listener = _Listener()
        channel = self._channels.setdefault(gateway, set())
        channel.add(listener)
        try:
            yield listener
        finally:
            channel.discard(listener)

    async def ping(self) -> None:
        self._check()

    def flush(self) -> None:
        """Forget everything; listeners stay, as with FLUSHALL."""
        self._jobs.clear()
        self._watches.clear()

    def stop(self) -> None:
        """Be lost: forget everything, end every listener, refuse every call until `start`."""
        self._stopped = True
        self.flush()
        for listener in (each for channel in self._channels.values() for each in channel):
            listener.end("the cache was stopped")

    def start(self) -> None:
        """Be back, empty."""
        self._stopped = False

    def _check(self) -> None:
        if self._stopped:
            raise CacheUnavailable("the cache is stopped")

    def _watch(self, gateway: str, id: str) -> Snapshot | None:
        kept = self._jobs.get(id)
        if kept is None or not kept.terminal:
            watchers = self._watches.get(id) or set()
            self._watches.put(id, watchers | {gateway}, WATCH_TTL_SECONDS)
        return kept

    def _publish(self, gateway: str, snapshot: Snapshot) -> None:
        for listener in self._channels.get(gateway, ()):
            listener.hear(snapshot)


class _Listener:
    """What one `listen` yields."""

    def __init__(self) -> None:
        self._heard: deque[Snapshot] = deque()
        self._lost = ""
        self._changed = asyncio.Event()

    def hear(self, snapshot: Snapshot) -> None:
        if len(self._heard) >= MAX_HEARD:
            self.end("the listener was too slow")
        elif not self._lost:
            self._heard.append(snapshot)
            self._changed.set()

    def end(self, why: str) -> None:
        self._lost = why
        self._changed.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Snapshot:
        while not self._heard:
            if self._lost:
                raise CacheUnavailable(self._lost)
            self._changed.clear()
            await self._changed.wait()
        return self._heard.popleft()


class _Expiring(Generic[V]):
    """A dictionary whose entries have a time to live. What is over is dropped when something is put."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[str, tuple[float, V]] = {}
        self._ends: list[tuple[float, str]] = []

    def get(self, key: str) -> V | None:
        end, value = self._entries.get(key, (0.0, None))
        return value if end > self._clock.monotonic() else None

    def put(self, key: str, value: V, ttl: float) -> None:
        self._drop_ended()
        end = self._clock.monotonic() + ttl
        self._entries[key] = (end, value)
        heapq.heappush(self._ends, (end, key))

    def pop(self, key: str) -> None:
        self._entries.pop(key, None)

    def clear(self) -> None:
        self._entries.clear()
        self._ends.clear()

    def _drop_ended(self) -> None:
        now = self._clock.monotonic()
        while self._ends and self._ends[0][0] <= now:
            _, key = heapq.heappop(self._ends)
            if self._entries.get(key, (now + 1, None))[0] <= now:
                del self._entries[key]
