"""What the cache carries of running jobs, in memory: reports, recently accepted jobs, calls to workers. For tests.

Each shares the fate of the `MemoryCache` that it is made on: flushed, stopped and started with it.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from shared.cache.contract import Position, Report, ReportKind, StreamEntry
from shared.cache.lifetimes import (
    FOLLOW_TTL_SECONDS,
    RECENT_JOBS,
    RECENT_TTL_SECONDS,
    STREAM_BYTES,
    STREAM_REPORTS,
    STREAM_TTL_SECONDS,
)
from shared.cache.memory import Expiring, Listener, MemoryCache
from shared.models.public import Snapshot


class _Channels:
    """Channels of ids, by the name of who listens."""

    def __init__(self, cache: MemoryCache) -> None:
        self._cache = cache
        self._listeners: dict[str, set[Listener[str]]] = {}

    def publish(self, name: str, id: str) -> None:
        for listener in self._listeners.get(name, ()):
            listener.hear(id)

    @asynccontextmanager
    async def listen(self, name: str) -> AsyncIterator[AsyncIterator[str]]:
        self._cache.check()
        listener: Listener[str] = Listener()
        channel = self._listeners.setdefault(name, set())
        channel.add(listener)
        try:
            yield listener
        finally:
            channel.discard(listener)

    def end(self) -> None:
        for listener in (each for channel in self._listeners.values() for each in channel):
            listener.end("the cache was stopped")


@dataclass(slots=True)
class _Stream:
    epoch: int
    turn: int = 0
    number: int = 0
    entries: list[StreamEntry] = field(default_factory=list)

    def trim(self) -> None:
        del self.entries[: max(0, len(self.entries) - STREAM_REPORTS)]
        sizes = sum(len(entry.report.data) for entry in self.entries[1:])
        while len(self.entries) > 1 and sizes > STREAM_BYTES:
            del self.entries[0]
            sizes -= len(self.entries[0].report.data)


class MemoryStreams:
    """`StreamWriter` and `Streams`."""

    def __init__(self, cache: MemoryCache) -> None:
        self._cache = cache
        self._streams: Expiring[_Stream] = Expiring(cache.clock)
        self._progress: Expiring[Report] = Expiring(cache.clock)
        self._followers: Expiring[set[str]] = Expiring(cache.clock)
        self._hints = _Channels(cache)
        self._last_epoch = 0
        cache.attach(self)

    async def append(self, id: str, reports: Sequence[Report], *, turn: int, dropped: int = 0) -> None:
        self._cache.check()
        stream = self._streams.get(id) or self._begun()
        if self._cache.over(id) or turn < stream.turn:
            return
        stream.turn = turn
        stream.number += dropped
        for report in reports:
            stream.number += 1
            stream.entries.append(StreamEntry(Position(stream.epoch, stream.number), report))
            if report.kind is ReportKind.PROGRESS:
                self._progress.put(id, report, STREAM_TTL_SECONDS)
        stream.trim()
        self._streams.put(id, stream, STREAM_TTL_SECONDS)
        for gateway in self._followers.get(id) or ():
            self._hints.publish(gateway, id)

    async def after(self, id: str, position: Position | None, *, limit: int) -> Sequence[StreamEntry]:
        self._cache.check()
        stream = self._streams.get(id)
        entries = stream.entries if stream else []
        return [entry for entry in entries if position is None or entry.position > position][:limit]

    async def progress(self, id: str) -> Report | None:
        self._cache.check()
        return self._progress.get(id)

    async def follow(self, gateway: str, ids: Sequence[str]) -> None:
        self._cache.check()
        for id in ids:
            self._followers.put(id, (self._followers.get(id) or set()) | {gateway}, FOLLOW_TTL_SECONDS)

    def hints(self, gateway: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        return self._hints.listen(gateway)

    def erase(self, id: str) -> None:
        for kept in (self._streams, self._progress, self._followers):
            kept.pop(id)

    def flush(self) -> None:
        for kept in (self._streams, self._progress, self._followers):
            kept.clear()

    def stop(self) -> None:
        self._hints.end()

    def _begun(self) -> _Stream:
        self._last_epoch = max(self._last_epoch + 1, self._cache.clock.now())
        return _Stream(self._last_epoch)


class MemoryRecent:
    """`Recent`."""

    def __init__(self, cache: MemoryCache) -> None:
        self._cache = cache
        self._accepted: Expiring[list[Snapshot]] = Expiring(cache.clock)
        cache.attach(self)

    def add(self, tenant: str, accepted: Snapshot) -> None:
        if self._cache.stopped:
            return
        self._cache.keep(accepted)
        earlier = self._accepted.get(tenant) or []
        self._accepted.put(tenant, [accepted, *earlier][:RECENT_JOBS], RECENT_TTL_SECONDS)

    async def forget(self, tenant: str, id: str) -> None:
        self._cache.check()
        accepted = self._accepted.get(tenant) or []
        accepted[:] = [each for each in accepted if each.id != id]

    async def newest(self, tenant: str) -> Sequence[Snapshot]:
        self._cache.check()
        return list(self._accepted.get(tenant) or ())

    def erase(self, id: str) -> None:
        """Nothing: `forget` does it."""

    def flush(self) -> None:
        self._accepted.clear()

    def stop(self) -> None:
        """Nobody listens here."""


class MemoryCancellations:
    """`CancelCaller` and `CancelCalls`."""

    def __init__(self, cache: MemoryCache) -> None:
        self._cache = cache
        self._channels = _Channels(cache)
        cache.attach(self)

    async def call(self, worker: str, id: str) -> None:
        self._cache.check()
        self._channels.publish(worker, id)

    def calls(self, worker: str) -> AbstractAsyncContextManager[AsyncIterator[str]]:
        return self._channels.listen(worker)

    def erase(self, id: str) -> None:
        """Nothing is kept."""

    def flush(self) -> None:
        """Nothing is kept."""

    def stop(self) -> None:
        self._channels.end()
