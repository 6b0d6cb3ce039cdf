"""What becomes of a job after a failed attempt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.retry import Backoff, after_failure
from shared.models.envelope import Envelope
from shared.models.job import ErrorCode, Job, JobError, JobSpec, JobStatus
from shared.storage.contract import Timer

NOW = 1_750_000_000_000
SPEC = JobSpec("job_1", "acme", "h", "default", b'{"a":1}', NOW, NOW + 1_000_000, 30.0, 3)
FAULT = JobError(ErrorCode.HANDLER_ERROR, "ValueError: no", retryable=True)
FINAL = JobError(ErrorCode.REJECTED, "not this", retryable=False)


def after(attempt: int, error: JobError, *, after_seconds: float | None = None) -> tuple[Job, Timer | None]:
    job = Job.queued(SPEC).claimed(attempt=attempt, fence="f", worker="w", lease_seconds=15, at=NOW)
    backoff = Backoff(base_seconds=1, cap_seconds=600, chance=lambda: 0.5)
    return after_failure(job, error, after_seconds=after_seconds, backoff=backoff, topic="t", at=NOW)


def test_a_retryable_failure_waits_with_a_timer_for_the_next_attempt() -> None:
    job, timer = after(2, FAULT)
    assert job.status is JobStatus.SCHEDULED
    assert timer is not None
    assert job.scheduled_for == timer.due_at == NOW + 1_000
    assert (timer.id, timer.topic) == ("job_1:3", "t")
    assert Envelope.decode(timer.body) == Envelope(SPEC, 3)


def test_a_handler_says_how_long_to_wait() -> None:
    job, _ = after(1, FAULT, after_seconds=77.0)
    assert job.scheduled_for == NOW + 77_000


def test_the_last_attempt_fails_and_keeps_its_cause() -> None:
    job, timer = after(3, FAULT)
    assert timer is None
    assert job.error is not None
    assert (job.status, job.error.code, job.error.message) == (
        JobStatus.FAILED,
        ErrorCode.ATTEMPTS_EXHAUSTED,
        "ValueError: no",
    )
    assert job.attempts[-1].code is ErrorCode.HANDLER_ERROR


def test_what_is_final_fails_at_once() -> None:
    job, timer = after(1, FINAL)
    assert timer is None
    assert job.error == FINAL


def test_a_retry_past_the_lifetime_is_an_expiry_that_keeps_the_failure() -> None:
    job, timer = after(1, FAULT, after_seconds=1_000.0)
    assert timer is None
    assert (job.status, job.error) == (JobStatus.EXPIRED, FAULT)


@given(attempt=st.integers(1, 10_000), chance=st.floats(0, 1))
def test_waits_stay_below_their_doubling_ceiling_and_the_cap(attempt: int, chance: float) -> None:
    wait = Backoff(1.0, 600.0, lambda: chance).seconds(attempt)
    assert 0 <= wait <= min(600.0, 2.0 ** min(attempt - 1, 20))


@pytest.mark.parametrize(("attempt", "ceiling"), [(1, 1), (2, 2), (3, 4), (11, 600)])
def test_the_ceiling_doubles(attempt: int, ceiling: float) -> None:
    assert Backoff(1.0, 600.0, lambda: 1.0).seconds(attempt) == ceiling


@pytest.mark.parametrize(
    ("attempt", "error", "status"),
    [
        (1, FAULT, JobStatus.CANCELED),
        (2, JobError(ErrorCode.ATTEMPT_TIMEOUT, "late", retryable=True), JobStatus.CANCELED),
        (3, FAULT, JobStatus.FAILED),  # it was the last attempt
        (1, FINAL, JobStatus.FAILED),
    ],
)
def test_a_job_whose_cancel_was_asked_for_is_not_tried_again(attempt: int, error: JobError, status: JobStatus) -> None:
    job = Job.queued(SPEC).claimed(attempt=attempt, fence="f", worker="w", lease_seconds=15, at=NOW)
    backoff = Backoff(base_seconds=1, cap_seconds=600, chance=lambda: 0.5)
    over, timer = after_failure(
        job.cancel_requested(at=NOW + 1), error, after_seconds=5, backoff=backoff, topic="t", at=NOW + 2
    )
    assert (over.status, timer) == (status, None)
    assert (over.cancel_requested_at, over.finished_at) == (NOW + 1, NOW + 2)
    assert [each.code for each in over.attempts] == [error.code]
