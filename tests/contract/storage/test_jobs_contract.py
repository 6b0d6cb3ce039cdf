"""JobClaims, on every store: what the claim and the finish of a job rest on."""

import asyncio
from dataclasses import replace

import pytest

from shared.errors import DocumentRefused
from shared.models.job import Job
from shared.storage.contract import Conflict, Stored, Version, WriteResult
from tests.contract.storage.samples import AT, failed, full, new_id, new_spec, new_timer, running, timers_of_shard
from tests.contract.storage.storage_subject import Subject

RIVALS = 36
TOO_BIG = b'"' + b"x" * 1_100_000 + b'"'


def applied(result: WriteResult) -> Version:
    assert isinstance(result, Version), result
    return result


async def stored(subject: Subject, id: str) -> Stored[Job]:
    found = await subject.jobs.read(id)
    assert found is not None
    return found


async def test_a_job_that_nobody_wrote_is_none(subject: Subject) -> None:
    assert await subject.jobs.read(new_id()) is None


async def test_what_was_created_is_read(subject: Subject) -> None:
    job = full(running())
    version = applied(await subject.jobs.create(job))
    found = await stored(subject, job.spec.id)
    assert found.value == job
    assert found.version == version


async def test_defaults_are_read_as_they_were(subject: Subject) -> None:
    spec = replace(
        new_spec(),
        labels={},
        scheduled_for=None,
        cache_key=None,
        cache_for_seconds=0,
        batch=None,
        index=None,
        replay_of=None,
        traceparent=None,
    )
    await subject.jobs.create(Job.queued(spec))
    assert (await stored(subject, spec.id)).value == Job.queued(spec)


async def test_one_of_many_rivals_creates(subject: Subject) -> None:
    spec = new_spec()
    rivals = [replace(running(spec), fence=str(rival)) for rival in range(RIVALS)]
    results = await asyncio.gather(*map(subject.jobs.create, rivals))
    winners = [rival for rival, result in zip(rivals, results, strict=True) if isinstance(result, Version)]
    assert len(winners) == 1
    assert results.count(Conflict.EXISTS) == RIVALS - 1
    assert (await stored(subject, spec.id)).value == winners[0]


async def test_one_of_many_rivals_updates(subject: Subject) -> None:
    job = running()
    held = applied(await subject.jobs.create(job))
    rivals = [replace(job, fence=str(rival)) for rival in range(RIVALS)]
    results = await asyncio.gather(*(subject.jobs.update(rival, held) for rival in rivals))
    winners = [rival for rival, result in zip(rivals, results, strict=True) if isinstance(result, Version)]
    assert len(winners) == 1
    assert results.count(Conflict.STALE) == RIVALS - 1
    assert (await stored(subject, job.spec.id)).value == winners[0]


async def test_versions_of_a_job_rise(subject: Subject) -> None:
    job = running()
    versions = [applied(await subject.jobs.create(job))]
    for lost in range(5):
        versions.append(applied(await subject.jobs.update(replace(job, lost=lost), versions[-1])))
    assert sorted(set(versions), key=lambda version: version.updated_at) == versions


async def test_writing_the_same_state_again_counts_as_a_write(subject: Subject) -> None:
    """A lease is renewed by a write that changes nothing."""
    job = running()
    created = applied(await subject.jobs.create(job))
    renewed = applied(await subject.jobs.update(job, created))
    again = applied(await subject.jobs.update(job, renewed))
    assert created.updated_at < renewed.updated_at < again.updated_at
    assert (await stored(subject, job.spec.id)).version == again
    assert await subject.jobs.update(job, renewed) is Conflict.STALE


async def test_an_update_under_an_old_version_changes_nothing(subject: Subject) -> None:
    job = running()
    old = applied(await subject.jobs.create(job))
    new = applied(await subject.jobs.update(job.succeeded(b"1", at=AT), old))
    assert await subject.jobs.update(failed(job), old) is Conflict.STALE
    found = await stored(subject, job.spec.id)
    assert found.value == job.succeeded(b"1", at=AT)
    assert found.version == new


async def test_an_update_of_a_missing_job_is_refused(subject: Subject) -> None:
    held = applied(await subject.jobs.create(running()))
    job = running()
    assert await subject.jobs.update(job, held) in {Conflict.STALE, Conflict.MISSING}
    assert await subject.jobs.read(job.spec.id) is None


async def test_an_update_leaves_the_spec_as_it_was(subject: Subject) -> None:
    job = running()
    held = applied(await subject.jobs.create(job))
    other = replace(job.spec, input=b'"other"', tenant="other", labels={}, max_attempts=1)
    await subject.jobs.update(replace(job, spec=other, lost=1), held)
    assert (await stored(subject, job.spec.id)).value == replace(job, lost=1)


async def test_an_update_removes_what_the_new_state_lacks(subject: Subject) -> None:
    job = full(running())
    held = applied(await subject.jobs.create(job))
    bare = Job.queued(job.spec)
    await subject.jobs.update(bare, held)
    assert (await stored(subject, job.spec.id)).value == bare


async def test_an_update_that_knows_what_was_there_leaves_the_same(subject: Subject) -> None:
    """Through every kind of state, and through renewals, which change nothing."""
    job = full(running())
    others = (running(job.spec), running(job.spec), job.succeeded(b"2", at=AT), Job.queued(job.spec), failed(job), job)
    versions = [applied(await subject.jobs.create(job))]
    for other in others:
        versions.append(applied(await subject.jobs.update(other, versions[-1], before=job)))
        job = other
        assert (await stored(subject, job.spec.id)).value == job
    assert sorted(set(versions), key=lambda version: version.updated_at) == versions


async def test_a_read_tells_how_long_nobody_wrote(subject: Subject) -> None:
    job = running()
    version = applied(await subject.jobs.create(job))
    first = await stored(subject, job.spec.id)
    second = await stored(subject, job.spec.id)
    assert version.updated_at <= first.read_at <= second.read_at
    assert 0 <= first.idle_seconds < 60


async def test_a_read_sees_the_write_before_it(subject: Subject) -> None:
    job = running()
    held = applied(await subject.jobs.create(job))
    for lost in range(20):
        held = applied(await subject.jobs.update(replace(job, lost=lost), held))
        assert (await stored(subject, job.spec.id)).value.lost == lost


async def test_a_job_and_its_timer_are_written_together(subject: Subject) -> None:
    job = running()
    held = applied(await subject.jobs.create(job))
    waiting = failed(job)
    timer = new_timer(f"{job.spec.id}:2")
    version = applied(await subject.jobs.update_with_timer(waiting, held, timer))
    found = await stored(subject, job.spec.id)
    assert (found.value, found.version) == (waiting, version)
    assert [each.value for each in await subject.timers.due([timer.shard], until=AT, limit=10)] == [timer]


async def test_a_stale_job_brings_no_timer(subject: Subject) -> None:
    job = running()
    old = applied(await subject.jobs.create(job))
    await subject.jobs.update(job, old)
    timer = new_timer(f"{job.spec.id}:2")
    assert await subject.jobs.update_with_timer(failed(job), old, timer) is Conflict.STALE
    assert await subject.timers.next_due(timer.shard) is None
    assert (await stored(subject, job.spec.id)).value == job


async def test_a_timer_that_exists_leaves_the_job_alone(subject: Subject) -> None:
    job = running()
    held = applied(await subject.jobs.create(job))
    timer = new_timer(f"{job.spec.id}:2")
    await subject.timers.create(timer)
    assert await subject.jobs.update_with_timer(failed(job), held, timer) is Conflict.EXISTS
    assert (await stored(subject, job.spec.id)).version == held


async def test_one_of_many_rivals_updates_with_its_timer(subject: Subject) -> None:
    job = running()
    held = applied(await subject.jobs.create(job))
    timers = [new_timer(id) for id in timers_of_shard(3, RIVALS)]
    results = await asyncio.gather(*(subject.jobs.update_with_timer(failed(job), held, timer) for timer in timers))
    winners = [timer for timer, result in zip(timers, results, strict=True) if isinstance(result, Version)]
    assert len(winners) == 1
    assert [each.value for each in await subject.timers.due([3], until=AT, limit=RIVALS)] == winners


async def test_a_job_is_scheduled_with_its_timer(subject: Subject) -> None:
    job = Job.scheduled(new_spec())
    timer = new_timer(f"{job.spec.id}:1")
    version = applied(await subject.jobs.schedule(job, timer))
    found = await stored(subject, job.spec.id)
    assert (found.value, found.version) == (job, version)
    assert [each.value for each in await subject.timers.due([timer.shard], until=AT, limit=10)] == [timer]


async def test_one_of_many_rivals_schedules(subject: Subject) -> None:
    spec = new_spec()
    timers = [new_timer(id) for id in timers_of_shard(4, RIVALS)]
    results = await asyncio.gather(*(subject.jobs.schedule(Job.scheduled(spec), timer) for timer in timers))
    winners = [timer for timer, result in zip(timers, results, strict=True) if isinstance(result, Version)]
    assert len(winners) == 1
    assert results.count(Conflict.EXISTS) == RIVALS - 1
    assert [each.value for each in await subject.timers.due([4], until=AT, limit=RIVALS)] == winners


async def test_a_timer_that_exists_leaves_no_job(subject: Subject) -> None:
    job = Job.scheduled(new_spec())
    timer = new_timer(f"{job.spec.id}:1")
    await subject.timers.create(timer)
    assert await subject.jobs.schedule(job, timer) is Conflict.EXISTS
    assert await subject.jobs.read(job.spec.id) is None


async def test_a_job_that_is_too_big_fails_alone(subject: Subject) -> None:
    jobs = [running() for _ in range(20)]
    bad = running(new_spec(input=TOO_BIG))
    jobs.insert(7, bad)
    results = await asyncio.gather(*map(subject.jobs.create, jobs), return_exceptions=True)
    assert isinstance(results.pop(7), DocumentRefused)
    assert all(isinstance(result, Version) for result in results)
    assert await subject.jobs.read(bad.spec.id) is None


async def test_an_output_that_is_too_big_leaves_the_job_as_it_was(subject: Subject) -> None:
    job = running()
    held = applied(await subject.jobs.create(job))
    with pytest.raises(DocumentRefused):
        await subject.jobs.update(job.succeeded(TOO_BIG, at=AT), held)
    with pytest.raises(DocumentRefused):
        await subject.jobs.update_with_timer(job.succeeded(TOO_BIG, at=AT), held, new_timer())
    assert (await stored(subject, job.spec.id)).version == held


async def test_the_store_answers(subject: Subject) -> None:
    await subject.probe.ping()
