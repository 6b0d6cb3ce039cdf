"""One JSON object a line on stdout, in the field names that Cloud Logging reads.

Services log one wide line a unit of work: `logger.info("job finished", extra={"job": …})`. Whatever stands in `extra`
becomes a field. No input, output, key or secret is ever a field; and the text of a foreign exception, which could quote
one, is left out: its type and stack remain. Configured once a process, by `shared.lifecycle`.

A line that is written for a request or a message that came with a trace names it, sampled or not: Cloud Logging then
shows the lines of one trace together (https://cloud.google.com/logging/docs/structured-logging#structured_logging_special_fields).

A line a job is on the hottest paths, so what `logging` finds out for its own formatters is turned off, and the lines of
one turn of the loop are written together.
"""

import asyncio
import itertools
import logging
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TextIO

import orjson

from shared.clock import rfc3339
from shared.errors import SluiceError

_OWN = len(vars(logging.makeLogRecord({})))
"""What a record has of its own; whatever stands in `extra` comes behind it."""
_MAX_FRAMES = 12
_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)


def configure(service: str, instance: str, *, level: str, project: str = "", stream: TextIO = sys.stdout) -> None:
    """Send every record of this process to `stream` as JSON, from `level` (a name such as `INFO`) upwards.

    project: of Google Cloud, whose traces lines name; empty: no line names one.
    """
    handler = LineHandler(stream)
    handler.setFormatter(JsonFormatter(service, instance, project))
    # The first means: do not look for the caller. See "Optimization" in the logging HOWTO (docs.python.org).
    logging._srcfile = None  # noqa: SLF001 - as that page says
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)


@contextmanager
def traced(traceparent: str) -> Iterator[None]:
    """Lines that are written in the block belong to this trace. traceparent: well-formed (W3C)."""
    before = _traceparent.set(traceparent)
    try:
        yield
    finally:
        _traceparent.reset(before)


def tell(logger: logging.Logger, message: str, fields: Mapping[str, Any]) -> None:
    """As `logger.info(message, extra=fields)` without the making of a record: for the line that every job costs."""
    if not logger.isEnabledFor(logging.INFO):
        return
    handlers = logging.root.handlers
    if len(handlers) == 1 and isinstance(handlers[0], LineHandler) and not logger.handlers:
        handlers[0].tell(logger.name, message, fields)
    else:
        logger.info(message, extra=fields)


class LineHandler(logging.Handler):
    """Writes to `stream` at the end of the loop's turn; at once outside of a loop, and for warnings and worse."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._add(self.format(record))
        if record.levelno >= logging.WARNING:
            self.flush()

    def _add(self, line: str) -> None:
        self._lines.append(line)
        if len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:
                self.flush()

    def tell(self, logger: str, message: str, fields: Mapping[str, Any]) -> None:
        """A line from outside of `logging`."""
        assert isinstance(self.formatter, JsonFormatter)
        self._add(self.formatter.line(time.time(), "INFO", message, logger, fields))

    def flush(self) -> None:
        with self.lock or nullcontext():
            lines, self._lines = self._lines, []
            if lines:
                self._stream.write("\n".join((*lines, "")))
                self._stream.flush()


class JsonFormatter(logging.Formatter):
    """Renders a record as one line of JSON."""

    def __init__(self, service: str, instance: str, project: str = "") -> None:
        super().__init__()
        self._identity = {"service": service, "instance": instance}
        self._traces = f"projects/{project}/traces/" if project else ""

    def format(self, record: logging.LogRecord) -> str:
        fields = dict(itertools.islice(vars(record).items(), _OWN, None))
        if record.exc_info and record.exc_info[1] is not None:
            fields["exception"] = describe(record.exc_info[1])
        return self.line(record.created, record.levelname, record.getMessage(), record.name, fields)

    def line(self, at: float, severity: str, message: str, logger: str, fields: Mapping[str, Any]) -> str:
        """at: seconds since the epoch."""
        line = {
            "time": rfc3339(int(at * 1_000)),
            "severity": severity,
            "message": message,
            **self._identity,
            **fields,
            "logger": logger,
        }
        traceparent = _traceparent.get()
        if traceparent is not None and self._traces:
            _, trace, span, flags = traceparent.split("-")
            line["logging.googleapis.com/trace"] = self._traces + trace
            line["logging.googleapis.com/spanId"] = span
            line["logging.googleapis.com/trace_sampled"] = int(flags, 16) % 2 == 1
        return orjson.dumps(line, default=str).decode()


def describe(fault: BaseException) -> dict[str, Any]:
    """An exception without what it could quote: types, our own messages, and where it came from."""
    described: dict[str, Any] = {"type": _qualified(fault), "stack": _frames(fault.__traceback__)}
    if isinstance(fault, SluiceError | OSError):
        described["detail"] = str(fault)
    if isinstance(fault, BaseExceptionGroup):
        described["exceptions"] = [describe(each) for each in fault.exceptions[:5]]
    cause = fault.__cause__ or (None if fault.__suppress_context__ else fault.__context__)
    if cause is not None:
        described["cause"] = _qualified(cause)
    return described


def _qualified(fault: BaseException) -> str:
    return f"{type(fault).__module__}.{type(fault).__qualname__}"


def _frames(trace: TracebackType | None) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)[-_MAX_FRAMES:]]
