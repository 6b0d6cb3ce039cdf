"""Runs one handler as a worker would, without Sluice: for an author's unit tests.

    outcome = await run(handlers["text.stats"], {"text": "…"})
    assert outcome.output["words"] == 1

The input passes the declared type, the function runs in the loop or in a thread (a process handler too: its own process
would only hide it from the debugger), and the output is rendered and read back, so a test sees what clients will see.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import to_json

from sluice.context import JobContext
from sluice.handlers import HandlerDefinition, Handlers
from sluice.reports import Progress


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one attempt."""

    output: Any
    """As clients read it: the rendered JSON, parsed."""
    progress: tuple[Progress, ...]
    """Every report, where clients would see the newest."""
    chunks: tuple[Any, ...]
    """What was emitted, parsed."""


@dataclass(slots=True)
class _Recorder:
    reported: list[Progress] = field(default_factory=list)
    emitted: list[bytes] = field(default_factory=list)

    def progress(self, progress: Progress, /) -> None:
        self.reported.append(progress)

    def emit(self, chunk: bytes, /) -> None:
        self.emitted.append(chunk)


async def run(
    handler: HandlerDefinition | str,
    input: object,
    *,
    handlers: Handlers | None = None,
    id: str = "job_test",
    attempt: int = 1,
    deadline: datetime | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Run:
    """One attempt at `handler`: a definition, or a name in `handlers`.

    `input` is any JSON value, or a model of the handler's own; `bytes` are taken as JSON text. The attempt is given up
    after the handler's timeout, counted from now; `deadline` only changes what `job.deadline` shows.

    Raises what the function raises (`Retry` and `Reject` among it), InvalidInput, InvalidOutput, TimeoutError, and
    LookupError for a name that is not in `handlers`.
    """
    definition = handler if isinstance(handler, HandlerDefinition) else _named(handler, handlers)
    recorder = _Recorder()
    given_up = asyncio.Event()
    job = JobContext(
        id=id,
        attempt=attempt,
        max_attempts=definition.max_attempts,
        fence="fence_test",
        deadline=deadline or datetime.now(UTC) + timedelta(seconds=definition.timeout_seconds),
        reporter=recorder,
        cancelled=lambda: cancelled() or given_up.is_set(),
    )
    value = definition.parse_input(input if isinstance(input, bytes) else to_json(input, by_alias=True))
    try:
        async with asyncio.timeout(definition.timeout_seconds):
            returned = await _call(definition, value, job)
    finally:
        # A thread cannot be stopped from outside: it is told, as a worker tells it.
        given_up.set()
    output = json.loads(definition.render_output(returned))
    return Run(output, tuple(recorder.reported), tuple(json.loads(chunk) for chunk in recorder.emitted))


def _named(name: str, handlers: Handlers | None) -> HandlerDefinition:
    if handlers is None or name not in handlers:
        raise LookupError(f"no handler {name!r} in {handlers!r}")
    return handlers[name]


async def _call(definition: HandlerDefinition, value: Any, job: JobContext) -> Any:
    if definition.run_in == "loop":
        return await definition.call(value, job)
    return await asyncio.to_thread(definition.call, value, job)
