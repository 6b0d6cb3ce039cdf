"""Group commit without waiting: what is asked for in one moment, or while requests are under way, leaves together.

When idle, the first caller's request leaves at the end of the loop's current turn, with whatever else that turn
brought. Otherwise the next one leaves as soon as one under way returns. No timer is involved. Used by the writer and
the reader.
"""

import asyncio
from collections.abc import Callable, Coroutine

Board = Callable[[], Coroutine[None, None, None] | None]
"""Takes what waits and returns the sending of it, or None if nothing waits."""


class Departures:
    """Owns the tasks that send.

    board: called whenever one may leave; its coroutine settles every caller it took, whatever happens.
    """

    def __init__(self, board: Board, *, in_flight: int) -> None:
        self._board = board
        self._in_flight = in_flight
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._called = False

    def call(self) -> None:
        """Something waits: let it leave at the end of this turn, if one of the places is free."""
        if not self._called and len(self._tasks) < self._in_flight:
            self._called = True
            self._loop.call_soon(self._depart)

    def _depart(self) -> None:
        self._called = False
        while len(self._tasks) < self._in_flight and (sending := self._board()) is not None:
            task = self._loop.create_task(sending)
            self._tasks.add(task)
            task.add_done_callback(self._returned)

    def _returned(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._depart()

    async def close(self) -> None:
        """Cancel what is still under way and wait until it has settled its callers."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
