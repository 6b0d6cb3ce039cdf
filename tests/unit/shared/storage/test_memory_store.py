"""What the memory store adds to the contract: an injected clock and failing on demand."""

import pytest

from shared.clock import ManualClock
from shared.errors import StoreUnavailable
from shared.models.job import Job, JobSpec
from shared.storage.contract import Version
from shared.storage.memory import MemoryDatabase, MemoryJobs, MemoryTimers

AT = 1_750_000_000_000
SPEC = JobSpec("job_1", "t", "h", "q", b"1", created_at=AT, expires_at=AT + 1, timeout_seconds=1, max_attempts=1)


async def test_a_lease_lapses_by_the_injected_clock() -> None:
    clock = ManualClock(AT)
    jobs = MemoryJobs(MemoryDatabase(clock))
    await jobs.create(Job.queued(SPEC))
    await clock.advance(15)
    found = await jobs.read(SPEC.id)
    assert found is not None
    assert found.idle_seconds == 15.0


async def test_no_two_writes_share_a_version_while_the_clock_stands() -> None:
    jobs = MemoryJobs(MemoryDatabase(ManualClock(AT)))
    held = await jobs.create(Job.queued(SPEC))
    versions = [held]
    for _ in range(3):
        assert isinstance(held, Version)
        held = await jobs.update(Job.queued(SPEC), held)
        versions.append(held)
    assert versions == [Version(AT * 1_000 + number) for number in range(4)]


async def test_it_fails_until_healed() -> None:
    database = MemoryDatabase(ManualClock(AT))
    database.fail()
    with pytest.raises(StoreUnavailable):
        await MemoryJobs(database).create(Job.queued(SPEC))
    with pytest.raises(StoreUnavailable):
        await MemoryTimers(database).next_due(1)
    with pytest.raises(StoreUnavailable):
        await database.ping()
    database.heal()
    assert await MemoryJobs(database).read(SPEC.id) is None
