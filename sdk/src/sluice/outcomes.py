"""The two outcomes that a handler decides by raising; every other exception is a failure that is retried.

Raised by authors, caught by the worker, often across a process boundary: they pickle whole, subclasses too, whatever
the subclass's own `__init__` takes. Numbers are checked. Wording never is: a reason that is too long is cut, because
losing a `Reject` to the length of its text would turn it into five retries.
"""

import copyreg
from datetime import timedelta
from typing import Any

from sluice.wording import wording

MAX_AFTER_SECONDS = 30 * 86_400.0
"""As far ahead as any job can be scheduled."""

MAX_REASON = 1_000
"""Characters kept of a reason."""


class Retry(Exception):
    """This attempt did not work; run the job again later.

    `after` is the pause before the next attempt, in seconds or as a timedelta, 0 to 30 days; None leaves it to the
    worker's backoff. The attempt counts: after `max_attempts` the job has failed. `reason` is shown in the job's
    history.

    Raises TypeError when `after` is not a number or `reason` not a string, ValueError when `after` is out of range.
    """

    def __init__(self, after: float | timedelta | None = None, reason: str = "") -> None:
        self.after_seconds = None if after is None else _seconds(after)
        self.reason = wording("reason", reason, MAX_REASON)
        super().__init__(self.after_seconds, self.reason)

    def __str__(self) -> str:
        return self.reason or "The handler asked for another attempt"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt(self)


class Reject(Exception):
    """This input will never work: the job has failed, and is not retried.

    `reason` is shown to whoever asks for the job; say what is wrong with the input without quoting it.

    Raises TypeError when `reason` is not a string.
    """

    def __init__(self, reason: str) -> None:
        self.reason = wording("reason", reason, MAX_REASON) or "The handler rejected the input"
        super().__init__(self.reason)

    def __str__(self) -> str:
        return self.reason

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt(self)


def _rebuilt(outcome: Exception) -> tuple[Any, ...]:
    # Not by calling the class again, as exceptions pickle by default: a subclass may take other arguments.
    return copyreg.__newobj__, (type(outcome), *outcome.args), outcome.__dict__  # type: ignore[attr-defined]


def _seconds(after: float | timedelta) -> float:
    if isinstance(after, timedelta):
        after = after.total_seconds()
    if isinstance(after, bool) or not isinstance(after, (int, float)):
        raise TypeError(f"`after` is a number of seconds or a timedelta, not {type(after).__name__}")
    if not 0 <= after <= MAX_AFTER_SECONDS:
        raise ValueError(f"`after` is between 0 and {MAX_AFTER_SECONDS:.0f} seconds (30 days)")
    return float(after)
