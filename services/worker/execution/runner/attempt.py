"""One run in the runner: parse the input, call the handler, render the output. What comes of it is always an `Ended`:
nothing that a handler raises leaves this module.
"""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

from services.worker.execution.messages import Run
from services.worker.execution.outcomes import Ended, Failed, Succeeded
from services.worker.execution.runner.failures import ended_by, stack
from services.worker.execution.runner.outputs import Pages
from services.worker.execution.runner.reporting import Pump
from services.worker.execution.runner.stepping import marked
from services.worker.execution.task import Page
from shared.models.job import ErrorCode
from sluice.context import JobContext
from sluice.definition import HandlerDefinition

_log = logging.getLogger("sluice.runner")


class Attempt:
    """
    pump: carries the handler's reports; None when the handler takes no context, and so has nothing to report with.
    outputs: what a reducer reads; None for any other handler.
    output_bytes: the largest output that is kept.
    """

    __slots__ = ("_cancelled", "_definition", "_output_bytes", "_outputs", "_pump", "_run", "task")

    def __init__(
        self, run: Run, definition: HandlerDefinition, pump: Pump | None, outputs: Pages | None, output_bytes: int
    ) -> None:
        self._run = run
        self._definition = definition
        self._pump = pump
        self._outputs = outputs
        self._output_bytes = output_bytes
        self._cancelled = False
        self.task: asyncio.Task[Ended] | None = None
        """Where it runs, when that is the loop."""

    def cancel(self) -> None:
        """Nobody wants the result any more: the handler can see it, and in the loop it is told by CancelledError."""
        self._cancelled = True
        if self.task is not None:
            self.task.cancel()
        if self._outputs is not None:
            self._outputs.end()

    def given(self, ask: int, page: Page) -> None:
        """A page that its reducer has asked for."""
        if self._outputs is not None:
            self._outputs.given(ask, page)

    async def in_loop(self, cell: memoryview) -> Ended:
        """cell: is marked with the run's number while this attempt holds the loop."""
        number = cell[0] = self._run.number
        try:
            value = self._definition.parse_input(self._run.input)
            result = await marked(self._called(value), cell, number)
            cell[0] = number
            return self._rendered(result)
        except BaseException as error:  # noqa: BLE001 - whatever authors raise becomes an outcome
            return self._ended_by(error)
        finally:
            cell[0] = 0

    def in_thread(self) -> Ended:
        try:
            value = self._definition.parse_input(self._run.input)
            return self._rendered(self._called(value))
        except BaseException as error:  # noqa: BLE001 - whatever authors raise becomes an outcome
            return self._ended_by(error)

    def finish(self) -> None:
        """Send what was reported, and let go of what was asked for."""
        if self._pump is not None:
            self._pump.finish()
        if self._outputs is not None:
            self._outputs.end()

    def _called(self, value: Any) -> Any:
        context = self._context() if self._definition.takes_context else None
        return self._definition.call(value, context, self._outputs)

    def _context(self) -> JobContext:
        assert self._pump is not None
        run = self._run
        return JobContext(
            id=run.job_id,
            attempt=run.attempt,
            max_attempts=run.max_attempts,
            fence=run.fence,
            deadline=datetime.fromtimestamp(run.deadline_at / 1_000, UTC),
            reporter=self._pump.buffer,
            cancelled=lambda: self._cancelled,
        )

    def _rendered(self, result: Any) -> Ended:
        output = self._definition.render_output(result)
        if len(output) > self._output_bytes:
            message = f"The output has {len(output)} bytes; at most {self._output_bytes} are kept"
            return Failed(ErrorCode.OUTPUT_TOO_LARGE, message, retryable=False)
        return Succeeded(output)

    def _ended_by(self, error: BaseException) -> Ended:
        ended = ended_by(error, self._definition.function.__module__)
        if isinstance(ended, Failed) and not self._cancelled:
            job, handler = self._run.job_id, self._definition.name
            extra = {"job": job, "handler": handler, "fingerprint": ended.fingerprint, "stack": stack(error)}
            _log.warning("the handler failed", extra=extra)
        return ended
