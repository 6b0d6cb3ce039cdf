"""A claim, from its renewal to its finish: who does not hold it cannot write."""

import pytest

from services.worker.holding import ClaimLost, Holding
from shared.clock import ManualClock
from shared.errors import CommitUnknown, StoreUnavailable
from shared.models.job import ErrorCode, Job, JobError, JobSpec, JobStatus
from shared.storage.contract import Conflict, Timer, Version, WriteResult
from shared.storage.memory import MemoryDatabase, MemoryJobs

NOW = 1_750_000_000_000
SPEC = JobSpec("job_1", "acme", "h", "default", b"{}", NOW, NOW + 1_000_000, 30.0, 3)
FAULT = JobError(ErrorCode.HANDLER_ERROR, "no", retryable=True)
TIMER = Timer("job_1:2", NOW + 1, "t", b"", {})


class Forgetful(MemoryJobs):
    """Applies writes and loses the reply, as a connection cut at the wrong moment does."""

    replies_lost = 0

    async def update(self, job: Job, held: Version, *, before: Job | None = None) -> WriteResult:
        result = await super().update(job, held)
        if self.replies_lost:
            self.replies_lost -= 1
            raise CommitUnknown("reply lost")
        return result


async def claimed(store: MemoryJobs) -> Holding:
    job = Job.queued(SPEC).claimed(attempt=1, fence="mine", worker="me", lease_seconds=15, at=NOW)
    version = await store.create(job)
    assert isinstance(version, Version)
    return Holding(job, version, store)


def store() -> Forgetful:
    return Forgetful(MemoryDatabase(ManualClock(NOW)))


async def stored(jobs: MemoryJobs) -> Job:
    found = await jobs.read("job_1")
    assert found is not None
    return found.value


async def test_a_finish_is_written_once() -> None:
    jobs = store()
    holding = await claimed(jobs)
    done = await holding.write(lambda job: (job.succeeded(b"1", at=NOW), None))
    assert done.status is JobStatus.SUCCEEDED
    assert await stored(jobs) == done


async def test_a_finish_after_renewals_holds_the_newest_version() -> None:
    jobs = store()
    holding = await claimed(jobs)
    for _ in range(3):
        await holding.renew()
    assert (await holding.write(lambda job: (job.succeeded(b"1", at=NOW), None))).output == b"1"


async def test_a_rival_that_took_over_makes_the_finish_void() -> None:
    jobs = store()
    holding = await claimed(jobs)
    found = await jobs.read("job_1")
    assert found is not None
    rival = found.value.claimed(attempt=1, fence="theirs", worker="them", lease_seconds=15, at=NOW)
    assert isinstance(await jobs.update(rival, found.version), Version)
    with pytest.raises(ClaimLost):
        await holding.write(lambda job: (job.succeeded(b"mine", at=NOW), None))
    assert holding.lost
    assert await stored(jobs) == rival
    with pytest.raises(ClaimLost):
        await holding.renew()


async def test_a_cancel_request_is_adopted_and_survives_the_finish() -> None:
    jobs = store()
    holding = await claimed(jobs)
    found = await jobs.read("job_1")
    assert found is not None
    await jobs.update(found.value.cancel_requested(at=NOW + 7), found.version)
    done = await holding.write(lambda job: (job.succeeded(b"1", at=NOW + 9), None))
    assert (done.status, done.cancel_requested_at) == (JobStatus.SUCCEEDED, NOW + 7)


async def test_a_renewal_sees_a_cancel_request() -> None:
    jobs = store()
    holding = await claimed(jobs)
    found = await jobs.read("job_1")
    assert found is not None
    await jobs.update(found.value.cancel_requested(at=NOW + 7), found.version)
    await holding.renew()
    assert holding.cancel_requested


async def test_a_lost_reply_is_settled_by_reading() -> None:
    jobs = store()
    holding = await claimed(jobs)
    jobs.replies_lost = 1
    done = await holding.write(lambda job: (job.succeeded(b"1", at=NOW), None))
    assert await stored(jobs) == done
    jobs = store()
    holding = await claimed(jobs)
    jobs.replies_lost = 1
    await holding.renew()
    assert (await holding.write(lambda job: (job.succeeded(b"2", at=NOW), None))).output == b"2"


async def test_a_lost_reply_to_a_retry_is_recognised_as_our_own_write() -> None:
    jobs = store()
    holding = await claimed(jobs)
    jobs.replies_lost = 1
    waiting = await holding.write(lambda job: (job.waiting(FAULT, until=NOW + 1, at=NOW), None))
    assert waiting.status is JobStatus.SCHEDULED


async def test_a_retry_and_its_timer_are_written_together_or_not_at_all() -> None:
    jobs = store()
    holding = await claimed(jobs)
    database = jobs._database
    database.timers.documents[TIMER.id] = (TIMER, Version(1))
    found = await jobs.read("job_1")
    assert found is not None
    result = await jobs.update_with_timer(found.value.waiting(FAULT, until=NOW, at=NOW), found.version, TIMER)
    assert result is Conflict.EXISTS
    assert (await stored(jobs)).status is JobStatus.RUNNING
    del database.timers.documents[TIMER.id]
    await holding.write(lambda job: (job.waiting(FAULT, until=NOW + 1, at=NOW), TIMER))
    assert TIMER.id in database.timers.documents


async def test_a_store_that_does_not_answer_leaves_the_claim_held() -> None:
    jobs = store()
    holding = await claimed(jobs)
    jobs._database.fail()
    with pytest.raises(StoreUnavailable):
        await holding.renew()
    jobs._database.heal()
    assert not holding.lost
    await holding.renew()


async def test_released_jobs_are_recognised() -> None:
    jobs = store()
    holding = await claimed(jobs)
    await holding.write(lambda job: (job.released(), None))
    assert (await stored(jobs)).lease_seconds == 0
