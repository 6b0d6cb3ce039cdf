"""The bound on what may wait in this process, and the door that closes when it stops. Used by every kind of call."""

import asyncio

from shared.errors import Overloaded, StoreUnavailable


class Admission:
    """Counts calls from their start to their end.

    what: names the calls in the messages of errors, such as "writes".
    size: the bound on the sum of the sizes that callers state.
    """

    def __init__(self, what: str, *, calls: int, size: int = 0) -> None:
        self._what = what
        self._most_calls = calls
        self._most_size = size
        self._calls = 0
        self._size = 0
        self._closed = False
        self._drained = asyncio.Event()

    def enter(self, size: int = 0) -> None:
        """Count one call in. Raises Overloaded when full, StoreUnavailable after `close`."""
        if self._closed:
            raise StoreUnavailable("this process is stopping")
        if self._calls >= self._most_calls or self._size + size > self._most_size:
            raise Overloaded(f"too many {self._what} wait for Firestore")
        self._calls += 1
        self._size += size

    def leave(self, size: int = 0) -> None:
        """Count out what `enter` counted in."""
        self._calls -= 1
        self._size -= size
        if self._closed and not self._calls:
            self._drained.set()

    async def close(self) -> None:
        """Let nobody in any more, and return when all are out. Each call's deadline bounds the wait."""
        self._closed = True
        if self._calls:
            await self._drained.wait()
