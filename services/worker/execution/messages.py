"""What worker and runner say to each other, as types, and how each travels in a frame.

| message                | from, to         | when                                                                   |
|------------------------|------------------|------------------------------------------------------------------------|
| `Announced`            | runner → worker  | at the start, one a handler                                            |
| `Ready` or `NotLoaded` | runner → worker  | then one of these; nothing before it, and the worker waits for it      |
| `Run`                  | worker → runner  | an attempt, under a number that is never used again                    |
| `Cancel`               | worker → runner  | nobody wants that run's result any more                                |
| `Asked`                | runner → worker  | a reducer wants a page of outputs, and waits for it                    |
| `Given`                | worker → runner  | that page                                                              |
| `Reported`             | runner → worker  | any number of times before the run's `Finished`                        |
| `Finished`             | runner → worker  | once a run, whatever the handler did                                   |
| `Ping`, `Pong`         | there and back   | the runner's loop turns                                                |

A header that does not say what it should is `Garbled`, like a frame that is too large.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import NamedTuple, TypeVar

import orjson

from services.worker.execution.errors import Garbled, LoadFault
from services.worker.execution.frames import Frame, encode
from services.worker.execution.outcomes import Ended, Failed, Rejected, RetryRequested, Succeeded
from services.worker.execution.task import Counts, ItemOutput, LoadedHandler, Page, Progress, Report
from shared.models.handler import HandlerEntry
from shared.models.job import ErrorCode

RUN, CANCEL, PING, GIVEN = 1, 2, 3, 4
ANNOUNCED, READY, NOT_LOADED, PONG, SUCCEEDED, RETRY, REJECTED, FAILED, REPORTED, ASKED = range(16, 26)

Message = TypeVar("Message")

_EXACT = 2**53
"""Whole numbers up to here are the same for every reader of JSON."""


class Run(NamedTuple):
    number: int
    handler: str
    job_id: str
    attempt: int
    max_attempts: int
    fence: str
    deadline_at: int
    input: bytes
    outputs: Counts | None = None
    """Of a reducer's run: of the batch."""

    def encode(self) -> bytes:
        return encode(RUN, self.number, orjson.dumps([*self[1:7], self.outputs and list(self.outputs)]), self.input)


class Cancel(NamedTuple):
    number: int

    def encode(self) -> bytes:
        return encode(CANCEL, self.number)


class Ping(NamedTuple):
    number: int

    def encode(self) -> bytes:
        return encode(PING, self.number)


class Given(NamedTuple):
    number: int
    ask: int
    """Of the run's `Asked` that this answers."""
    page: Page

    def encode(self) -> bytes:
        header = orjson.dumps([self.ask, [[item.index, item.id, len(item.data)] for item in self.page]])
        return encode(GIVEN, self.number, header, b"".join([item.data for item in self.page]))


class Asked(NamedTuple):
    number: int
    ask: int
    """Names this one among the run's."""
    start: int
    """Among the outputs that there are."""

    def encode(self) -> bytes:
        return encode(ASKED, self.number, orjson.dumps([self.ask, self.start]))


class Announced(NamedTuple):
    handler: LoadedHandler

    def encode(self) -> bytes:
        return encode(ANNOUNCED, 0, orjson.dumps([asdict(self.handler.entry), self.handler.run_in]))


class Ready(NamedTuple):
    def encode(self) -> bytes:
        return encode(READY, 0)


class NotLoaded(NamedTuple):
    faults: tuple[LoadFault, ...]

    def encode(self) -> bytes:
        return encode(NOT_LOADED, 0, orjson.dumps([[fault.path, fault.reason] for fault in self.faults]))


class Pong(NamedTuple):
    number: int

    def encode(self) -> bytes:
        return encode(PONG, self.number)


class Finished(NamedTuple):
    number: int
    ended: Ended

    def encode(self) -> bytes:
        match self.ended:
            case Succeeded(output):
                return encode(SUCCEEDED, self.number, b"", output)
            case RetryRequested(after_seconds, reason):
                return encode(RETRY, self.number, orjson.dumps([after_seconds, reason]))
            case Rejected(reason):
                return encode(REJECTED, self.number, orjson.dumps([reason]))
            case Failed(code, message, retryable, fingerprint):
                return encode(FAILED, self.number, orjson.dumps([code, message, retryable, fingerprint]))


class Reported(NamedTuple):
    number: int
    report: Report

    def encode(self) -> bytes:
        progress, chunks, dropped = self.report.progress, self.report.chunks, self.report.dropped
        said = progress and [_plain(progress.done), _plain(progress.total), progress.message]
        header = orjson.dumps([said, dropped, [len(chunk) for chunk in chunks]])
        return encode(REPORTED, self.number, header, b"".join(chunks))


ToRunner = Run | Cancel | Ping | Given
ToWorker = Announced | Ready | NotLoaded | Pong | Finished | Reported | Asked


def _plain(amount: float | None) -> float | None:
    """Handlers may count in numbers of a library's own types, or beyond what JSON's readers hold exactly."""
    if amount is None:
        return None
    return int(amount) if isinstance(amount, int) and abs(amount) < _EXACT else float(amount)


def read_to_runner(frame: Frame) -> ToRunner:
    """Raises Garbled."""
    return _read(_TO_RUNNER, frame)


def read_to_worker(frame: Frame) -> ToWorker:
    """Raises Garbled."""
    return _read(_TO_WORKER, frame)


def _read(readers: dict[int, Callable[[Frame], Message]], frame: Frame) -> Message:
    try:
        return readers[frame.kind](frame)
    except (LookupError, ValueError, TypeError) as fault:
        raise Garbled(f"a frame of kind {frame.kind} that says nothing ({type(fault).__name__})") from None


def _run(frame: Frame) -> Run:
    handler, job_id, attempt, max_attempts, fence, deadline_at, counts = orjson.loads(frame.header)
    outputs = counts and Counts(*counts)
    return Run(frame.number, handler, job_id, attempt, max_attempts, fence, deadline_at, frame.payload, outputs)


def _given(frame: Frame) -> Given:
    ask, items = orjson.loads(frame.header)
    pieces = _pieces(frame.payload, [size for _, _, size in items])
    page = [ItemOutput(index, id, data) for (index, id, _), data in zip(items, pieces, strict=True)]
    return Given(frame.number, ask, page)


def _asked(frame: Frame) -> Asked:
    ask, start = orjson.loads(frame.header)
    return Asked(frame.number, int(ask), int(start))


def _announced(frame: Frame) -> Announced:
    entry, run_in = orjson.loads(frame.header)
    return Announced(LoadedHandler(HandlerEntry(**entry), run_in))


def _not_loaded(frame: Frame) -> NotLoaded:
    return NotLoaded(tuple(LoadFault(path, reason) for path, reason in orjson.loads(frame.header)))


def _retry(frame: Frame) -> Finished:
    after_seconds, reason = orjson.loads(frame.header)
    return Finished(frame.number, RetryRequested(after_seconds, reason))


def _rejected(frame: Frame) -> Finished:
    (reason,) = orjson.loads(frame.header)
    return Finished(frame.number, Rejected(reason))


def _failed(frame: Frame) -> Finished:
    code, message, retryable, fingerprint = orjson.loads(frame.header)
    return Finished(frame.number, Failed(ErrorCode(code), message, retryable, fingerprint))


def _reported(frame: Frame) -> Reported:
    said, dropped, sizes = orjson.loads(frame.header)
    return Reported(frame.number, Report(said and Progress(*said), tuple(_pieces(frame.payload, sizes)), dropped))


def _pieces(payload: bytes, sizes: Sequence[int]) -> list[bytes]:
    """What was joined to the payload."""
    pieces, start = [], 0
    for size in sizes:
        pieces.append(payload[start : start + size])
        start += size
    if start != len(payload):
        raise ValueError("the pieces do not fill the payload")
    return pieces


_TO_RUNNER: dict[int, Callable[[Frame], ToRunner]] = {
    RUN: _run,
    CANCEL: lambda frame: Cancel(frame.number),
    PING: lambda frame: Ping(frame.number),
    GIVEN: _given,
}

_TO_WORKER: dict[int, Callable[[Frame], ToWorker]] = {
    SUCCEEDED: lambda frame: Finished(frame.number, Succeeded(frame.payload)),
    RETRY: _retry,
    REJECTED: _rejected,
    FAILED: _failed,
    REPORTED: _reported,
    ASKED: _asked,
    PONG: lambda frame: Pong(frame.number),
    ANNOUNCED: _announced,
    READY: lambda _frame: Ready(),
    NOT_LOADED: _not_loaded,
}
