"""Runs one handler as a worker would, without Sluice: for an author's unit tests.

    outcome = await run(handlers["text.stats"], {"text": "…"})
    assert outcome.output["words"] == 1

    outcome = await reduce(handlers["words.total"], [{"words": 2}, FAILED, {"words": 3}])
    assert outcome.output == {"words": 5, "missing": 1}

The input passes the declared type, the function runs in the loop or in a thread (a process handler too: its own process
would only hide it from the debugger), and the output is rendered and read back, so a test sees what clients will see.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic_core import to_json

from sluice.context import JobContext
from sluice.definition import HandlerDefinition
from sluice.handlers import Handlers
from sluice.outputs import Counts, OutputSource, RawOutput
from sluice.reducers import built_in
from sluice.reports import Progress

FAILED: Final = object()
"""In place of an output: the item has failed, so the reducer does not see it but in `counts`."""

_PAGE: Final = 100
"""Outputs given at once. A worker's pages are of any size."""


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
    if definition.reduces:
        raise LookupError(f"{definition.name!r} is a reducer; test it with `reduce`")
    job = _Job(id, attempt, deadline, cancelled)
    return await _attempted(definition, input, job, None)


async def reduce(
    reducer: HandlerDefinition | str,
    outputs: Iterable[object],
    options: object = None,
    *,
    handlers: Handlers | None = None,
    id: str = "job_test",
    attempt: int = 1,
    deadline: datetime | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Run:
    """One attempt at `reducer`: a definition, the name of a built-in one (`"sum"`), or a name in `handlers`.

    `outputs` are those of a batch's items, each as `input` of `run`, or FAILED. `options` are what `reduce` of a batch
    says beside `handler`. The rest is as for `run`; what it raises, too, with UnfitOutput beside it.
    """
    definition = reducer if isinstance(reducer, HandlerDefinition) else _reducer(reducer, handlers)
    job = _Job(id, attempt, deadline, cancelled)
    return await _attempted(definition, {} if options is None else options, job, _Given(_raw(outputs)))


@dataclass(frozen=True, slots=True)
class _Job:
    """What tests may say of the job."""

    id: str
    attempt: int
    deadline: datetime | None
    cancelled: Callable[[], bool]


async def _attempted(definition: HandlerDefinition, input: object, said: _Job, outputs: OutputSource | None) -> Run:
    recorder = _Recorder()
    given_up = asyncio.Event()
    job = JobContext(
        id=said.id,
        attempt=said.attempt,
        max_attempts=definition.max_attempts,
        fence="fence_test",
        deadline=said.deadline or datetime.now(UTC) + timedelta(seconds=definition.timeout_seconds),
        reporter=recorder,
        cancelled=lambda: said.cancelled() or given_up.is_set(),
    )
    value = definition.parse_input(_json(input))
    try:
        async with asyncio.timeout(definition.timeout_seconds):
            returned = await _call(definition, value, job, outputs)
    finally:
        # A thread cannot be stopped from outside: it is told, as a worker tells it.
        given_up.set()
    output = json.loads(definition.render_output(returned))
    return Run(output, tuple(recorder.reported), tuple(json.loads(chunk) for chunk in recorder.emitted))


def _named(name: str, handlers: Handlers | None) -> HandlerDefinition:
    if handlers is None or name not in handlers:
        raise LookupError(f"no handler {name!r} in {handlers!r}")
    return handlers[name]


def _reducer(name: str, handlers: Handlers | None) -> HandlerDefinition:
    found = built_in().get(name) or _named(name, handlers)
    if not found.reduces:
        raise LookupError(f"{name!r} is no reducer; test it with `run`")
    return found


def _json(value: object) -> bytes:
    return value if isinstance(value, bytes) else to_json(value, by_alias=True)


def _raw(outputs: Iterable[object]) -> list[RawOutput | None]:
    return [
        None if output is FAILED else RawOutput(index, f"job_test_{index}", _json(output))
        for index, output in enumerate(outputs)
    ]


class _Given:
    """An `OutputSource` of what a test gives."""

    def __init__(self, items: Sequence[RawOutput | None]) -> None:
        self._there = [item for item in items if item is not None]
        self.counts = Counts(len(items), len(self._there), len(items) - len(self._there))

    def ask(self, start: int, /) -> Future[Sequence[RawOutput]]:
        coming: Future[Sequence[RawOutput]] = Future()
        coming.set_result(self._there[start : start + _PAGE])
        return coming


async def _call(definition: HandlerDefinition, value: Any, job: JobContext, outputs: OutputSource | None) -> Any:
    if definition.run_in == "loop":
        return await definition.call(value, job, outputs)
    return await asyncio.to_thread(definition.call, value, job, outputs)
