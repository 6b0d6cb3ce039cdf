"""One runner as the worker sees it: its tasks with their time limits, whether it answers, and its end.

Two ways to make a handler stop. In a shared runner it is told and given a grace; after that its outcome stands, and it
is `abandoned`: it may go on, but nobody listens. A solo runner is killed. Whatever happens to the process, each of its
tasks gets exactly one outcome.
"""

import asyncio
import itertools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from services.worker.execution.errors import HandlersNotLoaded, RunnerNotStarted
from services.worker.execution.messages import (
    Announced,
    Asked,
    Cancel,
    Finished,
    Given,
    NotLoaded,
    Ping,
    Pong,
    Ready,
    Reported,
    Run,
    ToWorker,
)
from services.worker.execution.outcomes import Interrupted, Lost, TimedOut
from services.worker.execution.process import RunnerProcess
from services.worker.execution.settings import ExecutionSettings
from services.worker.execution.setup import Kind
from services.worker.execution.task import Catalogue, LoadedHandler
from services.worker.execution.ticket import Ticket, Verdict
from shared.clock import Clock

STACKS_SECONDS = 0.2
"""What a runner that hangs has to write its stacks, before it is killed."""
FROZEN_SECONDS = 1.0
"""A worker whose loop takes so long for one turn was frozen. Leases last far longer: none can have lapsed before."""

_TIMED_OUT = TimedOut()
_log = logging.getLogger("sluice.worker")


@dataclass(frozen=True, slots=True)
class Plan:
    """What it takes to start a runner."""

    settings: ExecutionSettings
    environ: Mapping[str, str]
    clock: Clock


class RunnerHandle:
    """Made by `start`; ended by `stop` or by itself. `ended` must be awaited in any case."""

    def __init__(self, kind: Kind, plan: Plan) -> None:
        self._kind = kind
        self._settings = plan.settings
        self._clock = plan.clock
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._tickets: dict[int, Ticket] = {}
        self._untold: list[Ticket] = []
        self._untold_since = 0.0
        self._abandoned: set[int] = set()
        self._announced: dict[str, LoadedHandler] = {}
        self._ready: asyncio.Future[Catalogue] = self._loop.create_future()
        self._idle = asyncio.Event()
        self._idle.set()
        self._served = False
        self._answered = 0
        self._blameless = False
        self._process: RunnerProcess
        self._life: asyncio.Task[str]
        self.spent = asyncio.Event()
        """Set when the runner should be replaced: it has ended, or so many handlers were abandoned in it."""

    @classmethod
    async def start(cls, kind: Kind, plan: Plan) -> Self:
        """One that has loaded the handlers. Raises HandlersNotLoaded, or RunnerNotStarted."""
        self = cls(kind, plan)
        began = plan.clock.monotonic()
        try:
            self._process = await RunnerProcess.spawn(kind, plan.settings, plan.environ, self._receive)
        except OSError as error:
            raise RunnerNotStarted(f"the system refuses a process: {error}") from error
        self._life = asyncio.create_task(self._live(), name=f"{kind} runner {self.pid}")
        try:
            async with asyncio.timeout(plan.settings.start_seconds):
                await asyncio.shield(self._ready)
        except TimeoutError:
            self._process.kill(f"had not loaded the handlers after {plan.settings.start_seconds:g} s")
            raise RunnerNotStarted(await self.ended()) from None
        except BaseException:
            self._process.kill("is not wanted")
            await self.ended()
            raise
        seconds = round(plan.clock.monotonic() - began, 3)
        _log.info("a runner is up", extra={"runner": self.pid, "kind": kind, "seconds": seconds})
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def usable(self) -> bool:
        """Whether it may be given work."""
        return self._process.usable

    @property
    def catalogue(self) -> Catalogue:
        """What it has loaded."""
        return self._ready.result()

    @property
    def running(self) -> int:
        """Tasks without an outcome yet."""
        return len(self._tickets)

    @property
    def served(self) -> bool:
        """Whether it was ever given a task."""
        return self._served

    @property
    def exhausted(self) -> bool:
        """So many handlers were abandoned here that there may be no thread for another."""
        return len(self._abandoned) >= 2 * self._settings.abandoned

    def begin(self, ticket: Ticket) -> None:
        """Run the task; `ticket.outcome` will be settled."""
        task, number = ticket.task, next(self._numbers)
        ticket.number = number
        self._tickets[number] = ticket
        self._served = True
        self._idle.clear()
        ticket.timer = self._loop.call_later(task.timeout_seconds, self.give_up, ticket, _TIMED_OUT)
        if not self._untold:
            self._untold_since = self._clock.monotonic()
            self._loop.call_soon(self._tell)
        self._untold.append(ticket)

    def _tell(self) -> None:
        """Tell the runner of what began in one turn of the loop, for claims come in dozens.

        After a freeze their leases may have lapsed meanwhile, and others may have ended the jobs: nothing is told then.
        """
        untold = [ticket for ticket in self._untold if ticket.number in self._tickets]
        self._untold.clear()
        if not untold:
            return
        seconds = self._clock.monotonic() - self._untold_since
        if seconds <= FROZEN_SECONDS:
            self._process.send(*map(_run, untold))
            return
        extra = {"runner": self.pid, "tasks": len(untold), "seconds": round(seconds, 3)}
        _log.warning("the worker was frozen; what its runner was not told of yet is given back", extra=extra)
        for ticket in untold:
            del self._tickets[ticket.number]
            ticket.settle(ticket.verdict or Interrupted("the worker was frozen before it told its runner"))
        self._check_idle()

    def give_up(self, ticket: Ticket, verdict: Verdict) -> None:
        """Make the handler stop; the outcome will be `verdict`. Of two, the first counts."""
        if ticket.verdict is not None or ticket.number not in self._tickets:
            return
        ticket.verdict = verdict
        if self._kind == "solo":
            self._process.kill(f"was killed because its task was given up ({type(verdict).__name__})")
            return
        self._tell()  # first, for the runner knows of no run that is still to begin
        if ticket.number not in self._tickets:
            return
        self._process.send(Cancel(ticket.number))
        if ticket.timer is not None:
            ticket.timer.cancel()
        ticket.timer = self._loop.call_later(self._settings.grace_seconds, self.abandon, ticket, verdict)

    def abandon(self, ticket: Ticket, verdict: Verdict) -> None:
        """As `give_up`, but settle the outcome at once; the handler may go on, unheard."""
        self.give_up(ticket, verdict)
        if self._tickets.pop(ticket.number, None) is None:
            return
        self._abandoned.add(ticket.number)
        if len(self._abandoned) >= self._settings.abandoned:
            self.spent.set()
        self._check_idle()
        ticket.settle(ticket.verdict or verdict)

    async def idle(self) -> None:
        """Return when no task runs here, abandoned ones aside."""
        await self._idle.wait()

    async def ended(self) -> str:
        """Return when the process has ended and every task has its outcome: which process, and how."""
        return await asyncio.shield(self._life)

    async def stop(self, cause: str) -> None:
        """End it: politely when it is idle, else at once, its tasks being `Interrupted`. cause: as for `kill`."""
        self._blameless = True
        for ticket in self._tickets.values():
            ticket.verdict = ticket.verdict or Interrupted(f"the runner {cause}")
        if self._tickets or self._abandoned or not self._ready.done():
            self._process.kill(cause)
        else:
            self._process.hang_up(cause)
        await self.ended()

    async def _live(self) -> str:
        heartbeat = asyncio.create_task(self._heartbeat()) if self._kind == "shared" else None
        cause = await self._process.wait()
        if heartbeat is not None:
            heartbeat.cancel()
            await asyncio.wait({heartbeat})
        if not self._ready.done():
            self._ready.set_exception(RunnerNotStarted(cause))
            self._ready.exception()  # a start that was cancelled does not look at it
        self._lose_all(cause)
        self._process.forget()
        self.spent.set()
        return cause

    async def _heartbeat(self) -> None:
        """Kill the runner once its loop has not turned for so many pings. Counted in pings, not in seconds: a worker
        that was frozen itself has sent none."""
        await asyncio.wait({self._ready})
        answered = unanswered = 0
        for number in itertools.count(1):
            self._process.send(Ping(number))
            await self._clock.sleep(self._settings.ping_seconds)
            unanswered = 0 if self._answered > answered else unanswered + 1
            answered = self._answered
            if unanswered >= self._settings.unanswered_pings:
                break
        self._process.show_stacks()
        await self._clock.sleep(STACKS_SECONDS)
        seconds = self._settings.ping_seconds * self._settings.unanswered_pings
        self._process.kill(f"was killed because its loop did not turn for {seconds:g} s")

    def _lose_all(self, cause: str) -> None:
        held = self._process.marked()
        lost = list(self._tickets.values())
        self._tickets.clear()
        self._idle.set()
        for ticket in lost:
            ticket.settle(ticket.verdict or Lost(cause, self._suspects(ticket, held)))
        if lost and not self._blameless:
            extra = {"runner": self.pid, "kind": self._kind, "cause": cause, "tasks": len(lost)}
            _log.warning("a runner ended under its tasks", extra=extra)

    def _suspects(self, ticket: Ticket, held: int) -> bool:
        """Whether its task may have ended the runner while the run `held` held the loop; 0: none did.

        What runs in a thread can do so at any moment.
        """
        if self._blameless:
            return False
        return held in {0, ticket.number} or self.catalogue[ticket.task.handler].run_in != "loop"

    def _receive(self, message: ToWorker) -> None:
        match message:
            case Finished(number, ended):
                ticket = self._tickets.pop(number, None)
                if ticket is None:
                    self._abandoned.discard(number)  # it did end; what it says comes too late
                else:
                    self._check_idle()
                    ticket.settle(ticket.verdict or ended)
            case Reported(number, report):
                ticket = self._tickets.get(number)
                if ticket is not None and ticket.verdict is None:
                    # In a turn of its own: what the receiver raises must not end the connection.
                    self._loop.call_soon(ticket.on_report, report)
            case Asked():
                self._pass_on(message)
            case Pong(number):
                self._answered = number
            case Announced(handler):
                self._announced[handler.entry.name] = handler
            case Ready():
                self._decide(self._announced)
            case NotLoaded(faults):
                self._decide(HandlersNotLoaded(faults))

    def _pass_on(self, asked: Asked) -> None:
        """Nobody answers a run that is given up; its handler is told otherwise."""
        number, ask, start = asked
        ticket = self._tickets.get(number)
        if ticket is not None and ticket.verdict is None and ticket.outputs is not None:
            ticket.outputs.ask(start, lambda page: self._process.send(Given(number, ask, page)))

    def _check_idle(self) -> None:
        if not self._tickets:
            self._idle.set()

    def _decide(self, ready: Catalogue | HandlersNotLoaded) -> None:
        if self._ready.done():
            return
        if isinstance(ready, HandlersNotLoaded):
            self._ready.set_exception(ready)
        else:
            self._ready.set_result(ready)


def _run(ticket: Ticket) -> Run:
    task = ticket.task
    return Run(
        ticket.number,
        task.handler,
        task.job_id,
        task.attempt,
        task.max_attempts,
        task.fence,
        task.deadline_at,
        task.input,
        None if ticket.outputs is None else ticket.outputs.counts,
    )
