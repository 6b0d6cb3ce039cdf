"""The runner that `loop` and `thread` handlers share, always one that takes work: started again when it ends, replaced
when too many handlers were abandoned in it. Used by `Engine` alone.

A replaced runner goes on with the tasks it has, each of which has its own time limit, and is killed after the last.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable

from services.worker.execution.backoff import AFTER_DEATH_SECONDS, AFTER_FAILURE_SECONDS, restart_delay
from services.worker.execution.errors import HandlersNotLoaded, RunnerNotStarted
from services.worker.execution.handle import RunnerHandle
from services.worker.execution.line import Line, Turn
from services.worker.execution.settings import ExecutionSettings
from services.worker.execution.task import Catalogue
from shared.clock import Clock

STABLE_SECONDS = 30.0
"""A runner that lived so long did not fail at once."""
MAX_RETIRING = 2
"""Replaced runners that go on at the same time; each holds the memory of a whole one."""

Start = Callable[[], Awaitable[RunnerHandle]]

_log = logging.getLogger("sluice.worker")


class SharedSlots:
    """How many of one kind may run at once, in whichever runner is the current one."""

    def __init__(self, size: int, line: Line, current: Callable[[], RunnerHandle | None]) -> None:
        self._free = size
        self._line = line
        self._current = current

    def take(self) -> RunnerHandle | None:
        """The runner with a slot in it, to be given back; None when one must wait for it."""
        if self._free == 0 or (runner := self._current()) is None:
            return None
        self._free -= 1
        return runner

    def wait(self) -> "asyncio.Future[Turn]":
        """A place in the line for the next slot. Raises Overloaded."""
        return self._line.join()

    def give_back(self, _runner: RunnerHandle) -> None:
        self._free += 1
        self.serve()

    def serve(self) -> None:
        """Give out what can be given out."""
        while self._line.waiting and (runner := self.take()) is not None:
            self._line.serve(runner)

    def dismiss(self, cause: str) -> None:
        self._line.dismiss(cause)


class SharedRunner:
    """
    start: starts a runner; raises HandlersNotLoaded or RunnerNotStarted.
    chance: uniform in 0…1.
    """

    def __init__(self, start: Start, settings: ExecutionSettings, clock: Clock, chance: Callable[[], float]) -> None:
        self._start = start
        self._clock = clock
        self._chance = chance
        self._runner: RunnerHandle | None = None
        self._retiring: dict[RunnerHandle, asyncio.Task[None]] = {}
        self._keeping: asyncio.Task[None] | None = None
        self.loop_slots = SharedSlots(settings.loop_slots, Line(settings.waiting), self.current)
        self.thread_slots = SharedSlots(settings.thread_slots, Line(settings.waiting), self._with_thread)

    def current(self) -> RunnerHandle | None:
        """The runner that takes work; None while there is none."""
        return self._runner if self._runner is not None and self._runner.usable else None

    def _with_thread(self) -> RunnerHandle | None:
        runner = self.current()
        return None if runner is None or runner.exhausted else runner

    async def start(self) -> Catalogue:
        """The first runner, and what it has loaded. Raises HandlersNotLoaded or RunnerNotStarted."""
        self._runner = await self._start()
        self._keeping = asyncio.create_task(self._keep(self._runner), name="shared runner")
        return self._runner.catalogue

    def leave(self) -> None:
        """Start no runner any more. Those that are up go on."""
        if self._keeping is not None:
            self._keeping.cancel()

    async def close(self) -> None:
        """End every runner at once."""
        self.leave()
        if self._keeping is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
        self._dismiss("the worker is leaving")
        retiring = list(self._retiring.values())
        for task in retiring:
            task.cancel()
        if self._runner is not None:
            await self._runner.stop("was ended with its worker")
        await asyncio.gather(*retiring, return_exceptions=True)

    async def _keep(self, runner: RunnerHandle) -> None:
        """Have a runner that takes work, for ever."""
        deaths = 0
        while True:
            began = self._clock.monotonic()
            await runner.spent.wait()
            failed_at_once = not runner.usable and self._clock.monotonic() - began < STABLE_SECONDS
            deaths = deaths + 1 if failed_at_once else 0
            await self._clock.sleep(restart_delay(deaths, AFTER_DEATH_SECONDS, self._chance))
            successor = await self._started()
            if runner.usable:
                self._retire(runner)
            runner = self._runner = successor
            self.loop_slots.serve()
            self.thread_slots.serve()

    async def _started(self) -> RunnerHandle:
        """A runner, however many starts it takes."""
        for failures in itertools.count(1):
            try:
                return await self._start()
            except (HandlersNotLoaded, RunnerNotStarted) as fault:
                _log.error("no shared runner could be started", extra={"fault": str(fault), "failures": failures})
                self._dismiss(str(fault))
            await self._clock.sleep(restart_delay(failures, AFTER_FAILURE_SECONDS, self._chance))
        raise AssertionError("unreachable")

    def _dismiss(self, cause: str) -> None:
        """Send those away whom nobody can serve now."""
        if self.current() is None:
            self.loop_slots.dismiss(cause)
        if self._with_thread() is None:
            self.thread_slots.dismiss(cause)

    def _retire(self, runner: RunnerHandle) -> None:
        if len(self._retiring) >= MAX_RETIRING:
            next(iter(self._retiring.values())).cancel()
        _log.warning("a runner is replaced", extra={"runner": runner.pid, "tasks": runner.running})
        self._retiring[runner] = asyncio.create_task(self._see_off(runner), name=f"retiring runner {runner.pid}")

    async def _see_off(self, runner: RunnerHandle) -> None:
        try:
            await runner.idle()
        finally:
            await runner.stop("was replaced")
            del self._retiring[runner]
