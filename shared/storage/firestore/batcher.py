"""Group commit without waiting: what is asked for in one moment, or while requests are under way, leaves together.

When idle, the first caller's request leaves at the end of the loop's current turn, with whatever else that turn
brought. Otherwise the next one leaves as soon as one under way returns. No timer is involved. Used by the writer and
the reader.
"""

import asyncio
from collections.abc import Callable, Coroutine

NextBatch = Callable[[], Coroutine[None, None, None] | None]
"""Takes what waits and returns the sending of it, or None if nothing waits."""


class MicroBatcher:
    """Owns the tasks that send.

    next_batch: called whenever a batch may leave; its coroutine settles every caller it took, whatever happens.
    in_flight: batches under way at once.
    """

    def __init__(self, next_batch: NextBatch, *, in_flight: int) -> None:
        self._next_batch = next_batch
        self._in_flight = in_flight
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = False

    def wake(self) -> None:
        """Something waits: let it leave at the end of this turn, if not too many are under way."""
        if not self._woken and len(self._tasks) < self._in_flight:
            self._woken = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._woken = False
        while len(self._tasks) < self._in_flight and (sending := self._next_batch()) is not None:
            task = self._loop.create_task(sending)
            self._tasks.add(task)
            task.add_done_callback(self._returned)

    def _returned(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._send()

    async def close(self) -> None:
        """Cancel what is still under way, and wait for its end. Its callers are gone by then."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
