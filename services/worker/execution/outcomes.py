"""What came of one attempt, one type each. `Engine.run` returns an `Outcome`; the worker decides what to do about it.

The first four are decided where the handler ran (`Ended`, they cross from the runner); the others are decided by the
worker's side, whatever the handler says afterwards.
"""

from shared.models.job import ErrorCode
from shared.values import value


@value(frozen=True, slots=True)
class Succeeded:
    output: bytes
    """JSON, rendered by the handler's output type; within the limit."""


@value(frozen=True, slots=True)
class RetryRequested:
    """The handler raised `Retry`: it wants another attempt."""

    after_seconds: float | None
    """None leaves the pause to the worker's backoff."""
    reason: str


@value(frozen=True, slots=True)
class Rejected:
    """The input will never work: the handler raised `Reject`, or the input does not fit its type."""

    reason: str


@value(frozen=True, slots=True)
class Failed:
    """The handler raised, or returned what cannot be kept."""

    code: ErrorCode
    message: str
    """At most 2 KiB of UTF-8. For exceptions `TypeName: text`."""
    retryable: bool
    fingerprint: str = ""
    """Equal for failures of the same type from the same place of the handler's code; for grouping."""


Ended = Succeeded | RetryRequested | Rejected | Failed


@value(frozen=True, slots=True)
class TimedOut:
    """The attempt's time was over. Whatever the handler does later is discarded."""


@value(frozen=True, slots=True)
class Canceled:
    """`Engine.cancel` was called. Whatever the handler does later is discarded."""


@value(frozen=True, slots=True)
class Lost:
    """The runner ended under the task, or had to be killed. It costs the job no attempt."""

    cause: str
    """For the log: which process, and how it ended."""
    suspect: bool
    """This task may have done it. It did not where another held the loop that both ran on."""


@value(frozen=True, slots=True)
class Interrupted:
    """The engine is closing, or has no runner to give. It says nothing against the job: release it as it was."""

    cause: str


Outcome = Ended | TimedOut | Canceled | Lost | Interrupted
