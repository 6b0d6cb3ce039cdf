"""A task on its way through the engine, from `Engine.run` to its outcome."""

import asyncio
from typing import Protocol

from services.worker.execution.outcomes import Canceled, Interrupted, Outcome, Rejected, TimedOut
from services.worker.execution.task import OnReport, OutputFeed, Task

Verdict = TimedOut | Canceled | Interrupted | Rejected
"""An outcome that the worker's side has decided on, whatever the handler says from then on."""


class Place(Protocol):
    """In a line for a runner."""

    def done(self) -> bool: ...
    def set_result(self, outcome: Canceled | Interrupted, /) -> None:
        """There will be no runner."""


class Runner(Protocol):
    """Where a task runs."""

    def give_up(self, ticket: "Ticket", verdict: Verdict) -> None:
        """Make the handler stop; the outcome will be `verdict`. Of two, the first counts."""


class Ticket:
    """Made by `Engine`; while it waits, a `Line` knows it; while it runs, a `RunnerHandle` does."""

    __slots__ = ("number", "on_report", "outcome", "outputs", "runner", "task", "timer", "turn", "verdict")

    def __init__(
        self, task: Task, on_report: OnReport, outputs: OutputFeed | None, outcome: "asyncio.Future[Outcome]"
    ) -> None:
        self.task = task
        self.on_report = on_report
        self.outputs = outputs
        """Of a reducer."""
        self.outcome = outcome
        self.turn: Place | None = None
        """While it waits, or has waited, for a runner."""
        self.runner: Runner | None = None
        self.number = 0
        """The run's number at its runner."""
        self.verdict: Verdict | None = None
        self.timer: asyncio.TimerHandle | None = None
        """Of its time limit, then of its grace."""

    def settle(self, outcome: Outcome) -> None:
        """Its outcome; what comes later changes nothing."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if not self.outcome.done():
            self.outcome.set_result(outcome)
