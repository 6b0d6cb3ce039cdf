"""Makes an `Ended` of whatever a handler raised. It never raises itself, whatever the exception does when it is looked
at: authors' exceptions may have a `__str__` that raises, that returns megabytes, or that ends the process politely.
"""

import hashlib
from collections.abc import Iterator
from types import FrameType
from typing import Any

from services.worker.execution.outcomes import Ended, Failed, Rejected, RetryRequested
from shared.models.job import ErrorCode
from sluice.errors import InvalidInput, InvalidOutput, OutputTooLarge
from sluice.outcomes import Reject, Retry

MAX_MESSAGE_BYTES = 2_048
_MAX_FRAMES = 2_000
_MAX_GROUPS = 16


def ended_by(error: BaseException, module: str) -> Ended:
    """What an exception out of the handler of `module` means."""
    try:
        return _ended(_sole(error), module)
    except BaseException:  # noqa: BLE001 - see above
        return Failed(ErrorCode.HANDLER_ERROR, "An exception that cannot be described", retryable=True)


def stack(error: BaseException) -> list[str]:
    """Where it was raised, outermost first, for the log. No text of the exception, which could quote an input."""
    return [f"{frame.f_code.co_filename}:{line} {frame.f_code.co_name}" for frame, line in _frames(error)][-20:]


def bounded(text: str, limit: int = MAX_MESSAGE_BYTES) -> str:
    """At most `limit` bytes of UTF-8, and always encodable."""
    raw = text[: limit + 1].encode("utf-8", "replace")
    return raw.decode() if len(raw) <= limit else raw[: limit - len("…".encode())].decode("utf-8", "ignore") + "…"


def _ended(error: BaseException, module: str) -> Ended:
    match error:
        case Retry():
            after = error.after_seconds
            return RetryRequested(None if after is None else float(after), bounded(str(error)))
        case Reject():
            return Rejected(bounded(str(error)))
        case InvalidInput():
            return Rejected(bounded(str(error)))
        case InvalidOutput():
            return Failed(ErrorCode.INVALID_OUTPUT, bounded(str(error)), retryable=False)
        case OutputTooLarge():
            return Failed(ErrorCode.OUTPUT_TOO_LARGE, bounded(str(error)), retryable=False)
        case _:
            return Failed(ErrorCode.HANDLER_ERROR, _message(error), retryable=True, fingerprint=_print(error, module))


def _sole(error: BaseException) -> BaseException:
    """A `TaskGroup` wraps what its tasks raise. A group of one says no more than the one, and may hide a `Reject`."""
    for _ in range(_MAX_GROUPS):
        if not isinstance(error, BaseExceptionGroup) or len(error.exceptions) != 1:
            break
        error = error.exceptions[0]
    return error


def _message(error: BaseException) -> str:
    name = type(error).__name__
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - see above
        return bounded(f"{name} (its text cannot be shown)")
    return bounded(f"{name}: {text[:MAX_MESSAGE_BYTES]}" if text else name)


def _print(error: BaseException, module: str) -> str:
    """A hash of the exception's type and its way through the handler's own package, without line numbers: equal
    before and after an edit elsewhere in the file."""
    package = module.partition(".")[0]
    parts = [f"{type(error).__module__}.{type(error).__qualname__}"]
    for frame, _ in _frames(error):
        place = f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_code.co_name}"
        if _package(frame) == package and place != parts[-1]:  # recursion counts once, however deep
            parts.append(place)
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()[:16]


def _frames(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    trace = error.__traceback__
    for _ in range(_MAX_FRAMES):
        if trace is None:
            return
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _package(frame: FrameType) -> str:
    name: Any = frame.f_globals.get("__name__")
    return name.partition(".")[0] if isinstance(name, str) else ""
