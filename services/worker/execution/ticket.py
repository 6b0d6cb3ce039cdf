"""A task on its way through the engine, from `Engine.run` to its outcome."""

import asyncio
from typing import TYPE_CHECKING

from services.worker.execution.outcomes import Canceled, Interrupted, Outcome, Rejected, TimedOut
from services.worker.execution.task import OnReport, OutputFeed, Task

if TYPE_CHECKING:
    from services.worker.execution.handle import RunnerHandle
    from services.worker.execution.line import Turn

Verdict = TimedOut | Canceled | Interrupted | Rejected
"""An outcome that the worker's side has decided on, whatever the handler says from then on."""


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
        self.turn: asyncio.Future[Turn] | None = None
        """While it waits, or has waited, for a runner."""
        self.runner: RunnerHandle | None = None
        """Where it runs."""
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
