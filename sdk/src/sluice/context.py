"""What a handler may know and say about the job it runs: its second parameter, if it has one.

Built by the worker, in the loop, in a thread or in a child process, from plain values, a `Reporter` and a callable that
tells whether the job is cancelled; and by `sluice.testing`. Reporting never waits and never fails the handler for the
reporter's sake (see `reports` for which side does what); it raises only for what the handler passed in.
"""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from sluice.reports import MAX_CHUNK_BYTES, Progress, Reporter
from sluice.wording import wording

MAX_MESSAGE = 1_000
"""Characters kept of a progress message."""

MAX_AMOUNT = 2**53 - 1
"""Whole numbers up to here are the same to every reader of JSON (RFC 8259, section 6)."""

_logger = logging.getLogger("sluice")
_render = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class JobContext:
    """One attempt of one job. Everything is read-only; every method may be called from any thread."""

    __slots__ = ("_attempt", "_cancelled", "_deadline", "_fence", "_id", "_max_attempts", "_reporter", "_silenced")

    def __init__(
        self,
        *,
        id: str,
        attempt: int,
        max_attempts: int,
        fence: str,
        deadline: datetime,
        reporter: Reporter,
        cancelled: Callable[[], bool],
    ) -> None:
        """Raises ValueError when `deadline` has no time zone. `cancelled` must answer at once, from any thread."""
        if deadline.tzinfo is None:
            raise ValueError("the deadline needs a time zone")
        self._id = id
        self._attempt = attempt
        self._max_attempts = max_attempts
        self._fence = fence
        self._deadline = deadline.astimezone(UTC)
        self._reporter = reporter
        self._cancelled = cancelled
        self._silenced = False

    @property
    def id(self) -> str:
        """The job's id: the same in every attempt, so a good key for effects that must happen once."""
        return self._id

    @property
    def attempt(self) -> int:
        """1 for the first attempt."""
        return self._attempt

    @property
    def max_attempts(self) -> int:
        """The attempt with this number is the last."""
        return self._max_attempts

    @property
    def fence(self) -> str:
        """Drawn anew at each claim. Hand it to systems that can refuse a writer whose claim has been taken over."""
        return self._fence

    @property
    def deadline(self) -> datetime:
        """When this attempt is given up, in UTC."""
        return self._deadline

    @property
    def cancelled(self) -> bool:
        """Nobody wants the result any more. Long handlers ask now and then, and return or raise soon after."""
        return self._cancelled()

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Says how far the job is, in units of the handler's choice. Cheap enough for every turn of a loop.

        Clients see the newest report, not each one. A message is cut at 1,000 characters. Raises ValueError
        when `done` or `total` is not between 0 and 2**53 - 1, TypeError when it is no number or `message` no string.
        """
        _check_amount("done", done)
        if total is not None:
            _check_amount("total", total)
        progress = Progress(done, total, wording("message", message, MAX_MESSAGE))
        self._report(lambda: self._reporter.progress(progress))

    def emit(self, chunk: object) -> None:
        """Streams one piece of output, any JSON value, to the clients that follow the job's events.

        What is emitted is not kept with the result, and clients that fall far behind miss the oldest chunks. Raises
        ValueError when the chunk is not finite or its JSON is over 64 KiB, TypeError when it is not JSON.
        """
        rendered = _render(chunk).encode()
        if len(rendered) > MAX_CHUNK_BYTES:
            raise ValueError(f"a chunk has at most {MAX_CHUNK_BYTES} bytes of JSON; this one has {len(rendered)}")
        self._report(lambda: self._reporter.emit(rendered))

    def _report(self, deliver: Callable[[], None]) -> None:
        try:
            deliver()
        except Exception:
            # The handler's work matters more than news of it. Said once, not at every turn of its loop.
            if not self._silenced:
                self._silenced = True
                _logger.exception("reports of job %s are lost", self._id)


def _check_amount(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"`{name}` is a number, not {type(value).__name__}")
    if not 0 <= value <= MAX_AMOUNT:
        raise ValueError(f"`{name}` is between 0 and {MAX_AMOUNT}")
