"""Why a job is where it is: one reason for each state, with the facts that it rests on."""

from dataclasses import replace

import pytest

from shared.models.job import ErrorCode, Job, JobError, JobSpec
from shared.storage.contract import Stored, Version
from shared.storage.explanation import Explanation, Reason, explain

NOW = 1_750_000_000_000
SPEC = JobSpec("job_1", "acme", "h", "default", b"{}", NOW, NOW + 1_000_000, 30.0, 3)
FAULT = JobError(ErrorCode.ATTEMPT_TIMEOUT, "late", retryable=True)
RUNNING = Job.queued(SPEC).claimed(attempt=1, fence="f", worker="w", lease_seconds=15, at=NOW + 1)
WAITING = RUNNING.waiting(FAULT, until=NOW + 500, at=NOW + 100)


def failed(code: ErrorCode) -> Job:
    return RUNNING.failed(JobError(code, "", retryable=False), at=NOW + 2)


def why(job: Job, idle_seconds: float = 1.0, now: int = NOW + 200) -> Explanation:
    return explain(Stored(job, Version(0), round(idle_seconds * 1e6)), now)


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (Job.queued(SPEC), Reason.WAITING_FOR_WORKER),
        (Job.scheduled(replace(SPEC, scheduled_for=NOW + 300)), Reason.DELAYED),
        (WAITING, Reason.BACKOFF),
        (RUNNING, Reason.RUNNING),
        (RUNNING.cancel_requested(at=NOW + 3), Reason.CANCEL_REQUESTED),
        (RUNNING.released(), Reason.RELEASED),
        (RUNNING.succeeded(b"", at=NOW + 2), Reason.SUCCEEDED),
        (failed(ErrorCode.REJECTED), Reason.HANDLER_FAILED),
        (failed(ErrorCode.INVALID_OUTPUT), Reason.HANDLER_FAILED),
        (failed(ErrorCode.ATTEMPTS_EXHAUSTED), Reason.ATTEMPTS_EXHAUSTED),
        (failed(ErrorCode.WORKER_LOST), Reason.WORKER_LOST),
        (failed(ErrorCode.UNDELIVERABLE), Reason.UNDELIVERABLE),
        (Job.queued(SPEC).canceled(at=NOW + 2), Reason.CANCELED_BEFORE_START),
        (RUNNING.canceled(at=NOW + 2), Reason.CANCELED_WHILE_RUNNING),
        (WAITING.canceled(at=NOW + 2), Reason.CANCELED_WHILE_RUNNING),
        (Job.queued(SPEC).expired(at=NOW + 2), Reason.EXPIRED_BEFORE_START),
        (RUNNING.expired(at=NOW + 2, error=FAULT), Reason.EXPIRED_BETWEEN_ATTEMPTS),
    ],
)
def test_each_state_has_its_reason(job: Job, reason: Reason) -> None:
    assert why(job).reason is reason
    assert why(job).detail
    if job.finished_at is not None:
        assert (why(job).since, why(job).until) == (job.finished_at, None)


def test_a_lease_lapses_with_the_stores_time() -> None:
    assert why(RUNNING, idle_seconds=14.9).reason is Reason.RUNNING
    assert why(RUNNING, idle_seconds=15.0).reason is Reason.LEASE_LAPSED
    assert why(RUNNING.cancel_requested(at=NOW), idle_seconds=15.0).reason is Reason.LEASE_LAPSED


def test_a_time_that_has_come_is_due() -> None:
    delayed = Job.scheduled(replace(SPEC, scheduled_for=NOW + 300))
    assert why(delayed, now=NOW + 299) == replace(why(delayed), since=NOW, until=NOW + 300)
    assert why(delayed, now=NOW + 300).reason is Reason.DUE
    assert why(WAITING, now=NOW + 500).reason is Reason.DUE
    assert why(WAITING, now=NOW + 500).since == NOW + 500


def test_a_backoff_says_after_which_attempt_and_why() -> None:
    found = why(WAITING)
    assert (found.since, found.until) == (NOW + 100, NOW + 500)
    assert "1 of 3" in found.detail
    assert "attempt_timeout" in found.detail


def test_a_running_attempt_has_its_end() -> None:
    assert why(RUNNING).until == NOW + 1 + 30_000
