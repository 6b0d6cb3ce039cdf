"""Fingerprints: equal for what died of the same thing, whatever it was about; different for what did not."""

from dataclasses import replace

import pytest

from shared.models.fingerprint import FINGERPRINT, fingerprint, without_values
from shared.models.job import ErrorCode, Job, JobError, JobSpec

SPEC = JobSpec("job_1", "acme", "h", "default", b"{}", 0, 10_000, 30.0, 3)
RUNNING = Job.queued(SPEC).claimed(attempt=3, fence="f", worker="w", lease_seconds=15, at=5)
EXHAUSTED = JobError(ErrorCode.ATTEMPTS_EXHAUSTED, "ValueError: no", retryable=False)
CAUSE = JobError(ErrorCode.HANDLER_ERROR, "ValueError: no", retryable=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ValueError: no row 17", "ValueError: no row 4"),
        ("KeyError: 'orders'", "KeyError: 'users'"),
        ('no column "a\\"b" in it', 'no column "c" in it'),
        ("FileNotFoundError: /data/in/17.csv is gone", "FileNotFoundError: /data/out/x.csv is gone"),
        ("cannot reach https://a.example/x?y=1", "cannot reach http://b.example"),
        ("job_0a1b2c3d4e5f is odd", "job_9z8y7x6w5v4t is odd"),
        ("at 0xdeadbeef", "at 0x1f"),
        ("took 30.5 s", "took 7 s"),
        ("2026-01-31T09:00:00Z is late", "2027-02-01T10:11:12Z is late"),
        ("mail to a.b@example.com failed", "mail to c@example.org failed"),
        ("the same\nand one detail", "the same\nand another"),
        ("many    blanks", "many blanks"),
        ("x" * 200 + "a", "x" * 200 + "b"),
    ],
)
def test_what_differs_from_job_to_job_does_not_count(one: str, other: str) -> None:
    assert without_values(one) == without_values(other)
    assert fingerprint("h", "c", message=one) == fingerprint("h", "c", message=other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ValueError: no", "KeyError: no"),
        ("no such row", "no such column"),
        ("it isn't there and can't be", "it isn't here and can't be"),
    ],
)
def test_what_is_something_else_has_another_fingerprint(one: str, other: str) -> None:
    assert fingerprint("h", "c", message=one) != fingerprint("h", "c", message=other)


def test_handler_and_codes_count() -> None:
    found = {fingerprint("h", "c", message="m"), fingerprint("i", "c", message="m"), fingerprint("h", "d", message="m")}
    assert len(found) == 3
    assert all(FINGERPRINT.fullmatch(each) for each in found)


def test_a_fingerprint_never_changes() -> None:
    """Documents hold them: another hash would divide every group that is there."""
    assert fingerprint("text.stats", "attempts_exhausted", "handler_error", message="ValueError: no row 17") == (
        "58a6502c26fc1495"
    )


def test_a_text_of_any_kind_and_size_is_quickly_done() -> None:
    for text in ("", "\n", "'" * 5_000, '"' * 5_000 + "x", "/a" * 5_000, "a.b-" * 5_000 + "@", "\ud800", "1_" * 9_000):
        assert FINGERPRINT.fullmatch(fingerprint("h", message=text))


def test_a_job_that_is_given_up_on_has_its_mark() -> None:
    over = RUNNING.failed(EXHAUSTED, cause=CAUSE, at=9)
    assert over.fingerprint == fingerprint("h", "attempts_exhausted", "handler_error", message="ValueError: no")
    other = RUNNING.failed(EXHAUSTED, cause=replace(CAUSE, code=ErrorCode.ATTEMPT_TIMEOUT), at=9)
    assert other.fingerprint != over.fingerprint
    assert over.erased(at=10).fingerprint is None


def test_a_rejected_job_is_no_dead_letter() -> None:
    assert RUNNING.failed(JobError(ErrorCode.REJECTED, "no", retryable=False), at=9).fingerprint is None


def test_what_the_broker_gave_up_before_it_ran_has_no_attempt_and_a_higher_order() -> None:
    error = JobError(ErrorCode.UNDELIVERABLE, "given up", retryable=False)
    queued, waiting = Job.queued(SPEC), RUNNING.waiting(CAUSE, until=7, at=6)
    for job in (queued, waiting):
        over = job.undeliverable(error, at=9)
        assert (over.status, over.error, over.finished_at) == ("failed", error, 9)
        assert (over.attempts, over.started_at, over.attempt) == (job.attempts, job.started_at, job.attempt)
        assert over.order > job.order
        assert over.fingerprint is not None


def test_an_attempt_that_the_broker_gave_up_joins_the_history() -> None:
    error = JobError(ErrorCode.UNDELIVERABLE, "given up", retryable=False)
    [attempt] = RUNNING.undeliverable(error, at=9).attempts
    assert (attempt.attempt, attempt.code, attempt.started_at, attempt.finished_at) == (3, error.code, 5, 9)
