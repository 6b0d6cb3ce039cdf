"""Runners that take one task at a time: for `process` handlers, and for jobs that run alone because they are suspected
of killing their runner. Used by `Engine` alone.

Started when first needed and kept warm. Each seat is a task that keeps one process: it starts it, offers it, and starts
another when that one was killed over a task, so that the next task need not wait for it.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable

from services.worker.execution.backoff import AFTER_FAILURE_SECONDS, restart_delay
from services.worker.execution.errors import HandlersNotLoaded, RunnerNotStarted
from services.worker.execution.handle import RunnerHandle
from services.worker.execution.line import Line, Turn
from services.worker.execution.settings import ExecutionSettings
from shared.clock import Clock

Start = Callable[[], Awaitable[RunnerHandle]]

_log = logging.getLogger("sluice.worker")


class SoloRunners:
    """
    start: starts a runner; raises HandlersNotLoaded or RunnerNotStarted.
    chance: uniform in 0…1.
    """

    def __init__(self, start: Start, settings: ExecutionSettings, clock: Clock, chance: Callable[[], float]) -> None:
        self._start = start
        self._size = settings.solo_slots
        self._clock = clock
        self._chance = chance
        self._line = Line(settings.waiting)
        self._idle: list[RunnerHandle] = []
        self._seats: set[asyncio.Task[None]] = set()
        self._leaving = False

    def take(self) -> RunnerHandle | None:
        """A runner that is warm, to be given back; None when one must wait for it."""
        while self._idle:
            if (runner := self._idle.pop()).usable:
                return runner
        return None

    def wait(self) -> "asyncio.Future[Turn]":
        """A place in the line for the next runner. Raises Overloaded."""
        turn = self._line.join()
        if len(self._seats) < self._size:
            self._seats.add(asyncio.create_task(self._keep(), name="solo runner"))
        return turn

    def give_back(self, runner: RunnerHandle) -> None:
        if runner.usable and not self._line.serve(runner):
            self._idle.append(runner)

    def leave(self) -> None:
        """Start no runner any more. Those that are up go on."""
        self._leaving = True

    async def close(self) -> None:
        """End every runner at once."""
        self._line.dismiss("the worker is leaving")
        seats = list(self._seats)
        for seat in seats:
            seat.cancel()
        await asyncio.gather(*seats, return_exceptions=True)

    async def _keep(self) -> None:
        """One process after another, for as long as they are of use."""
        try:
            while (runner := await self._started()) is not None:
                self.give_back(runner)
                try:
                    await runner.ended()
                finally:
                    await runner.stop("was ended with its worker")
                if self._leaving or not (runner.served or self._line.waiting):
                    return
        finally:
            # Here, not in a callback of the task: whoever waits next must find the seat free.
            self._seats.discard(asyncio.current_task())

    async def _started(self) -> RunnerHandle | None:
        """A runner, however many starts it takes while somebody waits for one."""
        for failures in itertools.count(1):
            try:
                return await self._start()
            except (HandlersNotLoaded, RunnerNotStarted) as fault:
                _log.error("no solo runner could be started", extra={"fault": str(fault), "failures": failures})
                self._line.dismiss(str(fault))
            await self._clock.sleep(restart_delay(failures, AFTER_FAILURE_SECONDS, self._chance))
            if not self._line.waiting:
                break
        return None
