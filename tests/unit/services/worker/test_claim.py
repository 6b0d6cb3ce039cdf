"""What a message is to a job that is stored already."""

from dataclasses import replace

import pytest

from services.worker.claim import MAX_LOST, Busy, Claimant, Claims, Old, Over, contend
from shared.clock import ManualClock
from shared.models.envelope import Envelope
from shared.models.job import ErrorCode, Job, JobError, JobSpec, JobStatus
from shared.storage.contract import Stored, Version
from shared.storage.memory import MemoryDatabase, MemoryJobs

NOW = 1_750_000_000_000
SPEC = JobSpec("job_1", "acme", "h", "default", b"{}", NOW, NOW + 1_000_000, 30.0, 3)
CLAIMANT = Claimant(worker="me", lease_seconds=15, fence=lambda: "mine")
FAULT = JobError(ErrorCode.HANDLER_ERROR, "no", retryable=True)
RUNNING = Job.queued(SPEC).claimed(attempt=1, fence="theirs", worker="them", lease_seconds=15, at=NOW)
WAITING = RUNNING.waiting(FAULT, until=NOW + 5, at=NOW + 1)


def stored(job: Job, idle_seconds: float = 0.0) -> Stored[Job]:
    return Stored(job, Version(1_000_000), 1_000_000 + round(idle_seconds * 1e6))


def ruling(job: Job, *, attempt: int = 1, idle: float = 0.0, now: int = NOW) -> Job | Over | Old | Busy:
    return contend(Envelope(SPEC, attempt), stored(job, idle), CLAIMANT, now)


def test_a_terminal_job_is_only_told_again() -> None:
    done = RUNNING.succeeded(b"1", at=NOW)
    assert ruling(done) == Over(done)


def test_a_live_lease_is_waited_out() -> None:
    assert ruling(RUNNING, idle=5.0) == Busy(10.0)


@pytest.mark.parametrize("idle", [15.0, 15.1, 3_600.0])
def test_a_lapsed_lease_is_taken_over_without_costing_an_attempt(idle: float) -> None:
    taken = ruling(RUNNING, idle=idle)
    assert isinstance(taken, Job)
    assert (taken.attempt, taken.lost, taken.fence, taken.worker) == (1, 1, "mine", "me")


def test_the_leases_that_lapsed_are_bounded() -> None:
    killer = replace(RUNNING, lost=MAX_LOST - 1)
    failed = ruling(killer, idle=20.0)
    assert isinstance(failed, Job)
    assert failed.status is JobStatus.FAILED
    assert failed.error is not None
    assert failed.error.code is ErrorCode.WORKER_LOST
    assert failed.attempts[-1].code is ErrorCode.WORKER_LOST


def test_a_waiting_job_is_claimed_by_its_next_attempt_only() -> None:
    assert ruling(WAITING, attempt=1) == Old()
    second = ruling(WAITING, attempt=2)
    assert isinstance(second, Job)
    assert (second.status, second.attempt) == (JobStatus.RUNNING, 2)


def test_an_old_message_is_done_with_while_a_later_attempt_runs() -> None:
    later = replace(RUNNING, attempt=2)
    assert ruling(later, attempt=1) == Old()


def test_a_cancel_request_is_honoured_where_nobody_runs_the_job() -> None:
    for job, idle in ((replace(WAITING, cancel_requested_at=NOW), 0.0), (RUNNING.cancel_requested(at=NOW), 16.0)):
        canceled = ruling(job, attempt=2, idle=idle)
        assert isinstance(canceled, Job)
        assert canceled.status is JobStatus.CANCELED


def test_past_its_lifetime_a_waiting_job_expires() -> None:
    expired = ruling(WAITING, attempt=2, now=SPEC.expires_at)
    assert isinstance(expired, Job)
    assert expired.status is JobStatus.EXPIRED


BARE = JobSpec.unknown("job_1", tenant="acme", created_at=NOW, expires_at=NOW + 14_400_000)


def test_a_tombstone_without_a_spec_gets_it_from_the_message() -> None:
    tombstone = Job.queued(BARE).canceled(at=NOW + 3)
    completed = ruling(tombstone)
    assert isinstance(completed, Job)
    assert completed == replace(tombstone, spec=SPEC)
    assert completed.order > tombstone.order
    assert ruling(completed) == Over(completed)


def test_a_stub_stays_empty_but_is_told_by_its_name() -> None:
    stub = Job.queued(BARE).canceled(at=NOW + 3).erased(at=NOW + 4)
    over = ruling(stub)
    assert isinstance(over, Over)
    assert over.job.deleted_at == NOW + 4
    assert (over.job.spec.handler, over.job.spec.input, over.job.spec.labels) == (SPEC.handler, b"", {})
    whole = RUNNING.succeeded(b"1", at=NOW).erased(at=NOW + 4)
    assert ruling(whole) == Over(whole)


async def test_completing_a_tombstone_rewrites_its_document() -> None:
    clock = ManualClock(NOW + 10)
    store = MemoryJobs(MemoryDatabase(clock))
    await store.create(Job.queued(BARE).canceled(at=NOW + 3))
    claim = await Claims(store, CLAIMANT, clock).claim(Envelope(SPEC))
    stored_job = await store.read("job_1")
    assert stored_job is not None
    assert claim == Over(stored_job.value)
    assert stored_job.value.spec == SPEC
    assert stored_job.value.status is JobStatus.CANCELED
