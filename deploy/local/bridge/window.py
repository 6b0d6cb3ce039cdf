"""How many messages of a lane are on their way at once: more while all goes well, half when a worker turns one away.

As Pub/Sub does it: a start that is slow, growth with success. Used by `forward`.
"""

import asyncio
from collections import deque
from typing import Final, Self

from shared.clock import Clock

START: Final = 8
CALM_SECONDS: Final = 0.2
"""Refusals so soon after another are of the same moment, and cut nothing more."""


class Window:
    """limit: never more than so many."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._size = float(min(START, limit))
        self._cut_at: float | None = None
        self._out = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def size(self) -> int:
        return int(self._size)

    def succeeded(self) -> None:
        """A message was taken: one more may be on its way."""
        self._size = min(float(self._limit), self._size + 1)
        self._let_in()

    def refused(self) -> None:
        """A message was turned away."""
        now = self._clock.monotonic()
        if self._cut_at is None or now - self._cut_at >= CALM_SECONDS:
            self._cut_at = now
            self._size = max(1.0, self._size / 2)

    async def __aenter__(self) -> Self:
        """Wait for a place."""
        if self._waiting or self._out >= self.size:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._leave()
                raise
        else:
            self._out += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        self._out -= 1
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._out < self.size:
            turn = self._waiting.popleft()
            if not turn.done():
                self._out += 1
                turn.set_result(None)
