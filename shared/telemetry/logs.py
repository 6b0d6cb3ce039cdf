"""One JSON object a line on stdout, in the field names that Cloud Logging reads.

Services log one wide line a unit of work: `logger.info("job finished", extra={"job": …})`. Whatever stands in `extra`
becomes a field. No input, output, key or secret is ever a field; and the text of a foreign exception, which could quote
one, is left out: its type and stack remain. Configured once a process, by `shared.lifecycle`.
"""

import logging
import sys
import traceback
from types import TracebackType
from typing import Any, TextIO

import orjson

from shared.clock import rfc3339
from shared.errors import SluiceError

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_MAX_FRAMES = 12


def configure(service: str, instance: str, *, level: str, stream: TextIO = sys.stdout) -> None:
    """Send every record of this process to `stream` as JSON, from `level` (a name such as `INFO`) upwards."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(service, instance))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)


class JsonFormatter(logging.Formatter):
    """Renders a record as one line of JSON."""

    def __init__(self, service: str, instance: str) -> None:
        super().__init__()
        self._identity = {"service": service, "instance": instance}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": rfc3339(int(record.created * 1_000)),
            "severity": record.levelname,
            "message": record.getMessage(),
            **self._identity,
        }
        line.update((name, value) for name, value in vars(record).items() if name not in _STANDARD)
        if record.name != "root":
            line["logger"] = record.name
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = describe(record.exc_info[1])
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
