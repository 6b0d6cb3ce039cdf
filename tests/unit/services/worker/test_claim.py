"""What a message is to a job that is stored already."""

from dataclasses import dataclass, replace

import pytest

from services.worker.claim import (
    ALONE_FROM_LOST,
    MAX_LOST,
    Busy,
    Claim,
    Claimant,
    Claimed,
    Claims,
    Old,
    Over,
    Suspected,
    contend,
)
from shared.clock import ManualClock
from shared.errors import CommitUnknown
from shared.models.envelope import Envelope
from shared.models.job import ErrorCode, Job, JobError, JobSpec, JobStatus
from shared.storage.contract import Stored, Version, WriteResult
from shared.storage.memory import MemoryDatabase, MemoryJobs

NOW = 1_750_000_000_000
HOUR = 3_600_000
SPEC = JobSpec("job_1", "acme", "h", "default", b"{}", NOW, NOW + 1_000_000, 30.0, 3)
CLAIMANT = Claimant(worker="me", lease_seconds=15, fence=lambda: "mine")
FAULT = JobError(ErrorCode.HANDLER_ERROR, "no", retryable=True)
RUNNING = Job.queued(SPEC).claimed(attempt=1, fence="theirs", worker="them", lease_seconds=15, at=NOW)
WAITING = RUNNING.waiting(FAULT, until=NOW + 5, at=NOW + 1)


def stored(job: Job, idle_seconds: float = 0.0, read_at: int = NOW) -> Stored[Job]:
    return Stored(job, Version(read_at * 1_000 - round(idle_seconds * 1e6)), read_at * 1_000)


def ruling(job: Job, *, attempt: int = 1, idle: float = 0.0, read_at: int = NOW) -> Job | Over | Old | Busy:
    """read_at: by the store's clock; the worker's is an hour ahead."""
    return contend(Envelope(SPEC, attempt), stored(job, idle, read_at), CLAIMANT, NOW + HOUR)


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


@pytest.mark.parametrize("lost", [ALONE_FROM_LOST - 1, ALONE_FROM_LOST, MAX_LOST - 1])
async def test_a_suspect_is_claimed_by_who_can_run_it_alone(lost: int) -> None:
    """Whoever waits until it can holds no lease meanwhile, and so loses none."""
    clock = ManualClock(NOW)
    store = MemoryJobs(MemoryDatabase(clock))
    given_back = replace(RUNNING, lost=lost).released()
    await store.create(given_back)
    claims = Claims(store, CLAIMANT, clock)
    if lost >= ALONE_FROM_LOST:
        with pytest.raises(Suspected):
            await claims.claim(Envelope(SPEC))
        found = await store.read(SPEC.id)
        assert found is not None
        assert found.value == given_back
    claimed = await claims.claim(Envelope(SPEC), seated=lost >= ALONE_FROM_LOST)
    assert isinstance(claimed, Claimed)
    assert (claimed.job.lost, claimed.job.fence) == (lost, "mine")


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
    expired = ruling(WAITING, attempt=2, read_at=SPEC.expires_at)
    assert isinstance(expired, Job)
    assert expired.status is JobStatus.EXPIRED
    early = ruling(WAITING, attempt=2, read_at=SPEC.expires_at - 1)
    assert isinstance(early, Job)
    assert early.status is JobStatus.RUNNING


@dataclass
class Apart:
    """A worker whose clock is off, and a store whose clock is right and counts what it is asked."""

    clock: ManualClock
    right: ManualClock
    store: "Counted"
    claims: Claims

    async def claim(self, id: str, expires_at: int) -> Claim:
        return await self.claims.claim(Envelope(replace(SPEC, id=id, expires_at=expires_at)))

    async def pass_by(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        await self.right.advance(seconds)


class Counted(MemoryJobs):
    """calls: those that were made, by name."""

    calls: list[str]

    async def read(self, id: str) -> Stored[Job] | None:
        self.calls.append("read")
        return await super().read(id)

    async def create(self, job: Job) -> WriteResult:
        self.calls.append("create")
        return await super().create(job)

    async def update(self, job: Job, held: Version, *, before: Job | None = None) -> WriteResult:
        self.calls.append("update")
        return await super().update(job, held)


def apart(off_by: int) -> Apart:
    clock, right = ManualClock(NOW + off_by), ManualClock(NOW)
    store = Counted(MemoryDatabase(right))
    store.calls = []
    return Apart(clock, right, store, Claims(store, CLAIMANT, clock))


class Doubtful(Counted):
    """A store that takes the first claim, and whose answer is lost; whoever asks hears of it `seconds` later."""

    seconds = 0.0

    async def create(self, job: Job) -> WriteResult:
        await super().create(job)
        raise CommitUnknown("the answer is lost")

    async def read(self, id: str) -> Stored[Job] | None:
        found = await super().read(id)
        if found is None or not self.seconds:
            return found
        return replace(found, read_at=found.read_at + round(self.seconds * 1e6))


@pytest.mark.parametrize(("seconds", "calls"), [(0.0, 0), (7.0, 0), (8.0, 1), (16.0, 1)])
async def test_a_claim_of_which_is_heard_late_is_renewed_before_the_job_starts(seconds: float, calls: int) -> None:
    """Else another could take it over in the same moment, and both would run it."""
    clock = ManualClock(NOW)
    store = Doubtful(MemoryDatabase(clock))
    store.calls, store.seconds = [], seconds
    claimed = await Claims(store, CLAIMANT, clock).claim(Envelope(SPEC))
    assert isinstance(claimed, Claimed)
    assert (claimed.job.lost, claimed.job.fence) == (0, "mine")
    assert store.calls == ["create", "read", *["update"] * calls]
    stored_job = await store.read(SPEC.id)
    assert stored_job is not None
    assert stored_job.version == claimed.version


@pytest.mark.parametrize("off_by", [-HOUR, 0, HOUR])
async def test_r07_a_lifetime_ends_by_the_stores_clock_from_the_first_claim_on(off_by: int) -> None:
    a = apart(off_by)
    over = await a.claim("late", NOW)
    assert isinstance(over, Over)
    assert (over.job.status, over.job.started_at) == (JobStatus.EXPIRED, None)
    document = await a.store.read("late")
    assert document is not None
    assert document.value == over.job
    early = await a.claim("early", NOW + 1)
    assert isinstance(early, Claimed)
    assert early.job.status is JobStatus.RUNNING


@pytest.mark.parametrize("off_by", [-HOUR, 0, HOUR])
async def test_r07_a_claim_costs_one_write_in_time_and_too_late(off_by: int) -> None:
    a = apart(off_by)
    await a.claim("first", NOW + HOUR)
    await a.pass_by(10)
    assert isinstance(await a.claim("in time", NOW + 10_001), Claimed)
    assert isinstance(await a.claim("too late", NOW + 9_999), Over)
    assert a.store.calls == ["create"] * 3


async def test_r07_a_wall_clock_that_is_set_anew_changes_nothing() -> None:
    right = ManualClock(NOW)
    clock = Shifted(right)
    claims = Claims(MemoryJobs(MemoryDatabase(right)), CLAIMANT, clock)
    await claims.claim(Envelope(SPEC))
    clock.off_by = HOUR
    claimed = await claims.claim(Envelope(replace(SPEC, id="job_2", expires_at=NOW + 1)))
    assert isinstance(claimed, Claimed)


class Shifted:
    """A clock whose wall time may be set."""

    off_by = 0

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def now(self) -> int:
        return self._clock.now() + self.off_by

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


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
