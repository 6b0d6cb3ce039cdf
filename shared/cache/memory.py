"""The cache inside one process, with the semantics of the one on Redis. For tests, which share one among "processes".

It can be lost the way Redis can: `flush`, and `stop` and `start`.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Generic, Protocol, Self, TypeVar

from shared.cache.contract import Flight, Hit, Joined, Led, Replay, Result
from shared.cache.lifetimes import TERMINAL_TTL_SECONDS, UNATTEMPTED_TTL_SECONDS, WATCH_TTL_SECONDS, seconds_to_keep
from shared.clock import Clock
from shared.errors import CacheUnavailable
from shared.models.public import Snapshot, deleted

V = TypeVar("V")

MAX_HEARD = 10_000
"""Messages that a listener may leave unread before it loses its connection."""


class Attached(Protocol):
    """What shares a `MemoryCache`'s fate."""

    def flush(self) -> None: ...
    def erase(self, id: str) -> None: ...
    def stop(self) -> None: ...


class MemoryCache:
    """The Protocols of the cache, but those of `memory_streams`, whose classes attach to one of these.

    Times to live pass on the clock's monotonic time.
    """

    def __init__(self, clock: Clock) -> None:
        self._jobs: Expiring[Snapshot] = Expiring(clock)
        self._watches: Expiring[set[str]] = Expiring(clock)
        self._results: Expiring[Result] = Expiring(clock)
        self._flights: Expiring[Joined] = Expiring(clock)
        self._replays: Expiring[Replay] = Expiring(clock)
        self._channels: dict[str, set[Listener[Snapshot]]] = {}
        self._attached: list[Attached] = []
        self.clock = clock
        self._stopped = False

    def tell(self, snapshot: Snapshot) -> Awaitable[object]:
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            self.check()
        except CacheUnavailable as fault:
            told.set_exception(fault)
        else:
            self.keep(snapshot)
            told.set_result(None)
        return told

    def keep(self, snapshot: Snapshot) -> None:
        """What `tell` does."""
        kept = self._jobs.get(snapshot.id)
        if kept is not None and kept.order > snapshot.order:
            return
        self._jobs.put(snapshot.id, snapshot, seconds_to_keep(snapshot))
        for gateway in self._watches.get(snapshot.id) or ():
            self._publish(gateway, snapshot)
        if snapshot.terminal:
            self._watches.pop(snapshot.id)

    async def fetch(self, id: str) -> Snapshot | None:
        self.check()
        return self._jobs.get(id)

    async def fetch_all(self, ids: Sequence[str]) -> Sequence[Snapshot | None]:
        self.check()
        return [self._jobs.get(job) for job in ids]

    async def watch(self, gateway: str, ids: Sequence[str]) -> Sequence[Snapshot | None]:
        self.check()
        return [self._watch(gateway, job) for job in ids]

    async def restore(self, snapshots: Sequence[Snapshot]) -> None:
        self.check()
        for snapshot in snapshots:
            if self._jobs.get(snapshot.id) is None:
                self._jobs.put(snapshot.id, snapshot, seconds_to_keep(snapshot))

    async def unwatch(self, gateway: str, id: str) -> None:
        self.check()
        watchers = self._watches.get(id)
        if watchers is not None:
            watchers.discard(gateway)

    @asynccontextmanager
    async def listen(self, gateway: str) -> AsyncIterator[AsyncIterator[Snapshot]]:
        self.check()
        listener: Listener[Snapshot] = Listener()
        channel = self._channels.setdefault(gateway, set())
        channel.add(listener)
        try:
            yield listener
        finally:
            channel.discard(listener)

    async def erase(self, id: str) -> None:
        self.check()
        gone = deleted(id)
        self._jobs.put(id, gone, TERMINAL_TTL_SECONDS)
        self._watches.pop(id)
        for attached in self._attached:
            attached.erase(id)
        for gateway in self._channels:
            self._publish(gateway, gone)

    async def enter(self, key: str, flight: Flight, *, ttl_seconds: int, over: str = "") -> Hit | Joined | Led:
        self.check()
        result, joined = self._results.get(key), self._flights.get(key)
        if result is not None:
            left = self._results.left(key)
            return Hit(result.snapshot, int(result.cache_for_seconds - left), int(left))
        if joined is not None and joined.flight.id != over:
            return joined
        self._flights.put(key, Joined(flight, confirmed=False), ttl_seconds)
        return Led()

    async def lead(self, key: str, flight: Flight, *, ttl_seconds: int) -> None:
        self.check()
        self._flights.put(key, Joined(flight, confirmed=False), ttl_seconds)

    async def confirm(self, key: str, id: str, *, ttl_seconds: int) -> None:
        self.check()
        joined = self._flights.get(key)
        if joined is not None and joined.flight.id == id:
            self._flights.put(key, Joined(joined.flight, confirmed=True), ttl_seconds)

    async def land(self, key: str, result: Result) -> None:
        self.check()
        own, left = self._end(key, result.snapshot.id), result.cache_for_seconds - result.age_seconds
        if left <= 0:
            self._drop(key, result.snapshot.id)
        elif own or self._results.get(key) is None:
            self._results.put(key, result, left)

    async def forget(self, key: str, id: str) -> None:
        self.check()
        self._end(key, id)
        self._drop(key, id)

    async def recall(self, hash: str) -> Replay | None:
        self.check()
        return self._replays.get(hash)

    async def remember(self, hash: str, replay: Replay, *, ttl_seconds: int) -> None:
        self.check()
        self._replays.put(hash, replay, ttl_seconds)

    async def ping(self) -> None:
        self.check()

    def flush(self) -> None:
        """Forget everything; listeners stay, as with FLUSHALL."""
        for kept in (self._jobs, self._watches, self._results, self._flights, self._replays):
            kept.clear()
        for attached in self._attached:
            attached.flush()

    def stop(self) -> None:
        """Be lost: forget everything, end every listener, refuse every call until `start`."""
        self._stopped = True
        self.flush()
        for listener in (each for channel in self._channels.values() for each in channel):
            listener.end("the cache was stopped")
        for attached in self._attached:
            attached.stop()

    def start(self) -> None:
        """Be back, empty."""
        self._stopped = False

    def attach(self, attached: Attached) -> None:
        self._attached.append(attached)

    @property
    def stopped(self) -> bool:
        return self._stopped

    def check(self) -> None:
        """Raises CacheUnavailable while stopped."""
        if self._stopped:
            raise CacheUnavailable("the cache is stopped")

    def over(self, id: str) -> bool:
        """Whether the job is known to be over."""
        kept = self._jobs.get(id)
        return kept is not None and kept.terminal

    def _watch(self, gateway: str, id: str) -> Snapshot | None:
        kept = self._jobs.get(id)
        if kept is None or not kept.terminal:
            watchers = self._watches.get(id) or set()
            self._watches.put(id, watchers | {gateway}, WATCH_TTL_SECONDS)
        if kept is not None and kept.unattempted:
            self._jobs.put(id, kept, UNATTEMPTED_TTL_SECONDS)
        return kept

    def _end(self, key: str, id: str) -> bool:
        """End the job's flight; whether there was one."""
        joined = self._flights.get(key)
        if joined is None or joined.flight.id != id:
            return False
        self._flights.pop(key)
        return True

    def _drop(self, key: str, id: str) -> None:
        result = self._results.get(key)
        if result is not None and result.snapshot.id == id:
            self._results.pop(key)

    def _publish(self, gateway: str, snapshot: Snapshot) -> None:
        for listener in self._channels.get(gateway, ()):
            listener.hear(snapshot)


class Listener(Generic[V]):
    """What one listening yields."""

    def __init__(self) -> None:
        self._heard: deque[V] = deque()
        self._lost = ""
        self._changed = asyncio.Event()

    def hear(self, message: V) -> None:
        if len(self._heard) >= MAX_HEARD:
            self.end("the listener was too slow")
        elif not self._lost:
            self._heard.append(message)
            self._changed.set()

    def end(self, why: str) -> None:
        self._lost = why
        self._changed.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> V:
        while not self._heard:
            if self._lost:
                raise CacheUnavailable(self._lost)
            self._changed.clear()
            await self._changed.wait()
        return self._heard.popleft()


class Expiring(Generic[V]):
    """A dictionary whose entries have a time to live. What is over is dropped when something is put."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[str, tuple[float, V]] = {}
        self._ends: list[tuple[float, str]] = []

    def get(self, key: str) -> V | None:
        end, value = self._entries.get(key, (0.0, None))
        return value if end > self._clock.monotonic() else None

    def left(self, key: str) -> float:
        """Seconds until the entry ends; of one that is there."""
        return self._entries[key][0] - self._clock.monotonic()

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
