"""Tickets that wait for a runner, in order. One line a kind of slot; owned by the pool that serves it."""

import asyncio
from collections import deque

from services.worker.execution.handle import RunnerHandle
from services.worker.execution.outcomes import Canceled, Interrupted
from shared.errors import Overloaded

Turn = RunnerHandle | Canceled | Interrupted
"""A runner, taken for whoever waited; or the outcome, when there will be none."""


class Line:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._turns: deque[asyncio.Future[Turn]] = deque()

    def join(self) -> "asyncio.Future[Turn]":
        """Whoever gives up waiting resolves or cancels it. Raises Overloaded when the line is too long."""
        if len(self._turns) >= self._limit:
            self._turns = deque(turn for turn in self._turns if not turn.done())
        if len(self._turns) >= self._limit:
            raise Overloaded(f"{self._limit} tasks wait for a runner")
        turn: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        return turn

    @property
    def waiting(self) -> bool:
        while self._turns and self._turns[0].done():
            self._turns.popleft()
        return bool(self._turns)

    def serve(self, runner: RunnerHandle) -> bool:
        """Give `runner` to the first that still waits; False when nobody does."""
        if not self.waiting:
            return False
        self._turns.popleft().set_result(runner)
        return True

    def dismiss(self, cause: str) -> None:
        """There will be no runner for those who wait now."""
        while self.waiting:
            self._turns.popleft().set_result(Interrupted(cause))
