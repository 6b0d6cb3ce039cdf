"""The worker's door to its handlers. `services.worker.app` makes one; whoever works on a job calls `run`.

What a handler or its process does is always an `Outcome`, never an exception; see `outcomes`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from services.worker.execution.errors import (
    HandlersNotLoaded,
    LoadFault,
    RunnerNotStarted,
    RunnersDown,
    UnknownHandler,
)
from services.worker.execution.handle import Plan, RunnerHandle
from services.worker.execution.line import Turn
from services.worker.execution.outcomes import Canceled, Interrupted, Outcome, Rejected
from services.worker.execution.settings import ExecutionSettings
from services.worker.execution.setup import Kind
from services.worker.execution.shared import SharedRunner
from services.worker.execution.solo import SoloRunners
from services.worker.execution.task import Catalogue, OnReport, OutputFeed, Report, RunIn, Task
from services.worker.execution.ticket import Ticket, Verdict
from shared.clock import Clock

_log = logging.getLogger("sluice.worker")


class _Pool(Protocol):
    """Slots of one kind."""

    def take(self) -> RunnerHandle | None: ...
    def wait(self) -> "asyncio.Future[Turn]": ...
    def give_back(self, runner: RunnerHandle, /) -> None: ...


def _unheard(_report: Report) -> None:
    pass


class Engine:
    """
    environ: what runners inherit, but for what the settings withhold.
    chance: uniform in 0…1, for the pauses between restarts.
    """

    def __init__(
        self, settings: ExecutionSettings, *, environ: Mapping[str, str], clock: Clock, chance: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._plan = Plan(settings, dict(environ), clock)
        self._catalogue: Catalogue = {}
        self._tickets: dict[str, Ticket] = {}
        self._leaving = False
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._seats = asyncio.Semaphore(settings.solo_slots)
        self._shared = SharedRunner(lambda: self._runner("shared"), settings, clock, chance)
        self._solo = SoloRunners(lambda: self._runner("solo"), settings, clock, chance)
        self._pools: dict[RunIn, _Pool] = {
            "loop": self._shared.loop_slots,
            "thread": self._shared.thread_slots,
            "process": self._solo,
        }

    @property
    def slots(self) -> Mapping[RunIn, int]:
        """How many tasks run at once, by where. More than these wait in `run`."""
        settings = self._settings
        return {"loop": settings.loop_slots, "thread": settings.thread_slots, "process": settings.solo_slots}

    @property
    def catalogue(self) -> Catalogue:
        """What can run here; empty before `start`."""
        return self._catalogue

    async def start(self) -> Catalogue:
        """Load the handlers in the first runner, and say what they are. Raises HandlersNotLoaded."""
        try:
            self._catalogue = await self._shared.start()
        except RunnerNotStarted as fault:
            paths = ", ".join(self._settings.handlers)
            raise HandlersNotLoaded([LoadFault(paths, f"while it loaded them, {fault}")]) from fault
        return self._catalogue

    async def check(self) -> None:
        """Returns when handlers can run. Raises RunnersDown."""
        if self._shared.current() is None:
            raise RunnersDown("no shared runner is up")

    def place(self, handler: str, *, alone: bool = False) -> RunIn:
        """Whose slots a task for `handler` takes. Raises UnknownHandler."""
        loaded = self._catalogue.get(handler)
        if loaded is None:
            raise UnknownHandler(f"there is no handler {handler!r} here")
        return "process" if alone else loaded.run_in

    def reduces(self, handler: str) -> bool:
        """Whether it is a reducer, whose tasks take outputs."""
        loaded = self._catalogue.get(handler)
        return loaded is not None and loaded.entry.reduces

    @asynccontextmanager
    async def seat(self) -> AsyncIterator[bool]:
        """A turn at running one task alone, for the block: no more have one than there are slots for such.

        False: the worker is leaving, and runs it no more.
        """
        async with self._seats:
            yield not self._leaving

    async def run(self, task: Task, *, on_report: OnReport = _unheard, outputs: OutputFeed | None = None) -> Outcome:
        """Run the task where its handler says, once there is a slot, and return what came of it.

        Cancelling this call gives the run up: at once for the caller, with a grace for the handler.
        Raises UnknownHandler; Overloaded when too many tasks wait already; ValueError when `run_id` is running.
        """
        pool = self._pools[self.place(task.handler, alone=task.alone)]
        if task.run_id in self._tickets:
            raise ValueError(f"run {task.run_id} is running already")
        if len(task.input) > self._settings.input_bytes:
            return Rejected(f"The input has {len(task.input)} bytes; at most {self._settings.input_bytes} are taken")
        if task.timeout_seconds > (longest := self._settings.longest_seconds):
            return Rejected(f"An attempt may take {task.timeout_seconds:g} s; at most {longest:g} s by push")
        if self._leaving:
            return Interrupted("the worker is leaving")
        ticket = Ticket(task, on_report, outputs, asyncio.get_running_loop().create_future())
        self._tickets[task.run_id] = ticket
        self._quiet.clear()
        try:
            return await self._through(ticket, pool)
        finally:
            del self._tickets[task.run_id]
            if not self._tickets:
                self._quiet.set()

    def cancel(self, run_id: str) -> bool:
        """Make a run stop; `run` returns Canceled, at the latest when the grace is over. False when nothing runs so."""
        ticket = self._tickets.get(run_id)
        if ticket is None:
            return False
        if ticket.runner is not None:
            ticket.runner.give_up(ticket, Canceled())
        elif ticket.turn is not None and not ticket.turn.done():
            ticket.turn.set_result(Canceled())
        else:
            ticket.verdict = Canceled()  # its turn has come, and it is about to look
        return True

    def give_up(self, run_id: str, verdict: Verdict) -> None:
        """Make a run stop that has a runner; `run` returns `verdict`. Nothing happens where nothing runs so."""
        ticket = self._tickets.get(run_id)
        if ticket is not None and ticket.runner is not None:
            ticket.runner.give_up(ticket, verdict)

    async def drain(self, within: float) -> None:
        """Start nothing more, and return when nothing runs, or after `within` seconds. Then `close`."""
        self._leave()
        try:
            async with asyncio.timeout(within):
                await self._quiet.wait()
        except TimeoutError:
            _log.warning("handlers still run", extra={"tasks": len(self._tickets)})

    async def close(self) -> None:
        """End every runner, within about a second; what still runs is `Interrupted`."""
        self._leave()
        await asyncio.gather(self._shared.close(), self._solo.close())

    def _leave(self) -> None:
        self._leaving = True
        for _ in range(self._settings.waiting):
            self._seats.release()  # whoever waits is to hear of it now
        self._shared.leave()
        self._solo.leave()
        for ticket in self._tickets.values():
            if ticket.runner is None and ticket.turn is not None and not ticket.turn.done():
                ticket.turn.set_result(Interrupted("the worker is leaving"))

    async def _through(self, ticket: Ticket, pool: _Pool) -> Outcome:
        while True:
            runner: Turn | None = pool.take()
            if runner is None:
                runner = await self._turn(ticket, pool)
            if not isinstance(runner, RunnerHandle):
                return runner
            try:
                if ticket.verdict is not None:
                    return ticket.verdict
                if runner.usable:
                    return await _run(ticket, runner)
            finally:
                pool.give_back(runner)
            # It ended in the moment between being handed over and taking the task. There will be another.

    async def _turn(self, ticket: Ticket, pool: _Pool) -> Turn:
        """Wait for a runner."""
        turn = ticket.turn = pool.wait()
        try:
            return await turn
        except asyncio.CancelledError:
            # The future is done in its own right when the turn came in the same moment.
            if not turn.cancelled() and isinstance(runner := turn.result(), RunnerHandle):
                pool.give_back(runner)
            raise

    async def _runner(self, kind: Kind) -> RunnerHandle:
        """A new runner with the handlers that were announced. Raises HandlersNotLoaded or RunnerNotStarted."""
        runner = await RunnerHandle.start(kind, self._plan)
        if self._catalogue and _places(runner.catalogue) != _places(self._catalogue):
            await runner.stop("loaded other handlers than were announced; restart the worker")
            raise RunnerNotStarted(await runner.ended())
        return runner


def _places(catalogue: Catalogue) -> dict[str, RunIn]:
    return {name: loaded.run_in for name, loaded in catalogue.items()}


async def _run(ticket: Ticket, runner: RunnerHandle) -> Outcome:
    ticket.runner = runner
    runner.begin(ticket)
    try:
        return await ticket.outcome
    except asyncio.CancelledError:
        runner.abandon(ticket, Canceled())
        raise
