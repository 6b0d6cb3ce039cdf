"""Where a state is looked up: in this gateway's memory, in Redis, in the store. What jobs and batches share of that.

Used by `status` and by `batches.states`, which know what it means that there is nothing.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, Literal, Protocol, TypeVar

from services.gateway.http.problems import gone, unavailable
from services.gateway.jobs.finished import Finished
from shared.cache.contract import Snapshots
from shared.errors import CacheUnavailable, Overloaded, Unavailable
from shared.models.public import Snapshot
from shared.storage.contract import Stored

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Store(Protocol[T_co]):
    def read(self, id: str) -> Coroutine[Any, Any, Stored[T_co] | None]: ...


class Lookup(Generic[T]):
    """of: what is looked up, as clients call it. store_seconds: for one read of the store."""

    def __init__(
        self,
        of: Literal["job", "batch"],
        *,
        finished: Finished,
        cache: Snapshots,
        store: Store[T],
        store_seconds: float,
    ) -> None:
        self._of = of
        self._finished = finished
        self._cache = cache
        self._reads = _Reads(store)
        self._store_seconds = store_seconds

    async def copy(self, id: str, *, at_least: int) -> Snapshot | None:
        """The state by memory, else by Redis; None where neither has one of that order or a newer one.

        Raises Problem 410 for what was deleted.
        """
        held = self._finished.get(id)
        if held is not None:
            return held
        cached = await self._cached(id)
        if self._finished.is_deleted(id) or (cached is not None and cached.deleted):
            raise gone(self._of)
        if cached is None or cached.order < at_least:
            return None
        self._finished.put(cached)
        return cached

    async def document(self, id: str) -> Stored[T] | None:
        """What the store has. Raises Problem 503."""
        try:
            async with asyncio.timeout(self._store_seconds):
                return await self._reads.read(id)
        except (Unavailable, Overloaded, TimeoutError):
            raise unavailable(f"The {self._of} cannot be read right now.") from None

    async def _cached(self, id: str) -> Snapshot | None:
        try:
            return await self._cache.fetch(id)
        except (CacheUnavailable, Overloaded):
            return None


class _Reads(Generic[T]):
    """However many ask for a document while it is read, it is read once more for all of them.

    Not by the read under way, which may have met the document as it was before they asked.
    """

    def __init__(self, store: Store[T]) -> None:
        self._store = store
        self._next: dict[str, asyncio.Task[Stored[T] | None]] = {}
        self._under_way: dict[str, asyncio.Task[Stored[T] | None]] = {}

    async def read(self, id: str) -> Stored[T] | None:
        reading = self._next.get(id)
        if reading is None:
            reading = asyncio.create_task(self._in_turn(id, self._under_way.get(id)), name=f"read {id}")
            self._next[id] = reading
            reading.add_done_callback(_hear)
        return await asyncio.shield(reading)

    async def _in_turn(self, id: str, before: "asyncio.Task[Any] | None") -> Stored[T] | None:
        if before is not None:
            await asyncio.wait({before})
        self._under_way[id] = self._next.pop(id)
        try:
            return await self._store.read(id)
        finally:
            del self._under_way[id]


def _hear(reading: "asyncio.Task[Any]") -> None:
    if not reading.cancelled():
        reading.exception()  # everyone who asked may have given up before it failed
