"""When a failed attempt is tried again. Pure.

Full-jitter exponential backoff (M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015): uniform
between nothing and a cap that doubles with each attempt, so that jobs that failed together do not come back together.
"""

from collections.abc import Callable
from dataclasses import dataclass

from shared.clock import MILLISECONDS
from shared.models.envelope import Envelope
from shared.models.job import ErrorCode, Job, JobError
from shared.storage.contract import Timer


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds between attempts: the first wait is up to `base`, none is beyond `cap`."""

    base_seconds: float
    cap_seconds: float
    chance: Callable[[], float]
    """Uniform in 0…1."""

    def seconds(self, attempt: int) -> float:
        """How long to wait after `attempt` (from 1) failed."""
        ceiling = min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempt - 1, 40))
        return ceiling * self.chance()


def after_failure(
    job: Job, error: JobError, *, after_seconds: float | None, backoff: Backoff, topic: str, at: int
) -> tuple[Job, Timer | None]:
    """What becomes of a job whose attempt failed with `error`: its next state, with the timer if it is tried again.

    It is not tried again once its cancel was asked for; a failure that is final stays one.

    after_seconds: how long the handler asked to wait; None leaves it to the backoff.
    """
    if not error.retryable:
        return job.failed(error, at=at), None
    if job.attempt >= job.spec.max_attempts:
        return job.failed(
            JobError(ErrorCode.ATTEMPTS_EXHAUSTED, error.message, retryable=False), cause=error, at=at
        ), None
    if job.cancel_requested_at is not None:
        return job.canceled(at=at, error=error), None
    wait = backoff.seconds(job.attempt) if after_seconds is None else after_seconds
    due_at = at + round(wait * MILLISECONDS)
    if due_at >= job.spec.expires_at:
        return job.expired(at=at, error=error), None
    return job.waiting(error, until=due_at, at=at), _timer(job, topic, due_at)


def _timer(job: Job, topic: str, due_at: int) -> Timer:
    envelope = Envelope(job.spec, job.attempt + 1)
    return Timer(f"{job.spec.id}:{envelope.attempt}", due_at, topic, envelope.encode(), envelope.attributes)
