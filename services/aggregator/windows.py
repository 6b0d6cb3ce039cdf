"""Windows: what is told of one document within a moment is written once, and whoever told it waits for that write.

    window = windows.open(batch_id)      the one that gathers now
    window.said.put(event)
    await window.committed()             raises what the write raised

Two writes of one document never overlap, and between their starts lies as much time as the earlier one asked for: a
store takes about one write a second of a document. Used by `consume` and `settle` for batches, and by `statistics`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from shared.clock import Clock
from shared.errors import StoreUnavailable

T = TypeVar("T")

Commit = Callable[[str, T], Awaitable[float]]
"""Writes what was said of a key, and returns the seconds until it may be written next."""

IDLE_PLACES: Final = 4_096
"""Keys without a window of which the moment of the next write is remembered; those that are past are dropped first."""


class Window(Generic[T]):
    """What is said of one key until it is written."""

    def __init__(self, said: T) -> None:
        self.said = said
        self._done = asyncio.Event()
        self._fault: BaseException | None = StoreUnavailable("the window was given up")

    async def committed(self) -> None:
        """Return once it is written. Raises what writing it raised."""
        await self._done.wait()
        if self._fault is not None:
            raise self._fault

    def end(self, fault: BaseException | None) -> None:
        self._fault = fault
        self._done.set()


class _Place(Generic[T]):
    """One key: the window that gathers, when the next may be written, and who writes now."""

    def __init__(self) -> None:
        self.window: Window[T] | None = None
        self.next_at = 0.0
        self.writing = asyncio.Lock()


class Windows(Generic[T]):
    """Owns a task for each window; `aclose` ends them.

    fresh: what a window begins with. at_once: windows written side by side.
    """

    def __init__(
        self, fresh: Callable[[], T], commit: Commit[T], clock: Clock, *, gather_seconds: float, at_once: int
    ) -> None:
        self._fresh = fresh
        self._commit = commit
        self._clock = clock
        self._gather_seconds = gather_seconds
        self._room = asyncio.Semaphore(at_once)
        self._places: dict[str, _Place[T]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, key: str) -> Window[T]:
        """The window of `key` that gathers now, to be added to before anything is awaited."""
        place = self._places.get(key) or self._new_place(key)
        if place.window is None:
            place.window = Window(self._fresh())
            task = asyncio.create_task(self._write(key, place, place.window), name="window")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return place.window

    async def aclose(self) -> None:
        """Give up what is not written yet."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write(self, key: str, place: _Place[T], window: Window[T]) -> None:
        fault: BaseException | None = None
        try:
            async with place.writing:
                await self._clock.sleep(max(self._gather_seconds, place.next_at - self._clock.monotonic()))
                async with self._room:
                    place.window = None  # what is said from here on is the next one's
                    started = self._clock.monotonic()
                    place.next_at = started + await self._commit(key, window.said)
        except asyncio.CancelledError:
            fault = StoreUnavailable("the window was given up")
            raise
        except Exception as trouble:  # noqa: BLE001 - it is raised to everyone who waits for this window
            fault = trouble
        finally:
            window.end(fault)

    def _new_place(self, key: str) -> _Place[T]:
        if len(self._places) >= IDLE_PLACES:
            self._forget_idle()
        place = self._places[key] = _Place()
        return place

    def _forget_idle(self) -> None:
        now = self._clock.monotonic()
        self._places = {
            key: place
            for key, place in self._places.items()
            if place.window is not None or place.writing.locked() or place.next_at > now
        }
