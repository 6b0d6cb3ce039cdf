"""JobErasure, on every store: a whole document is replaced, and a stub keeps late duplicates harmless."""

import asyncio
from dataclasses import replace

from shared.models.job import Job, JobSpec, JobStatus
from shared.storage.contract import Conflict, Stored, Version
from tests.contract.storage.samples import AT, HOUR_MS, failed, full, new_id, new_spec, running
from tests.contract.storage.storage_subject import Subject


def tombstone(spec: JobSpec) -> Job:
    bare = JobSpec.unknown(spec.id, tenant=spec.tenant, created_at=spec.created_at, expires_at=AT + 4 * HOUR_MS)
    return Job.queued(bare).canceled(at=AT + 9)


async def written(subject: Subject, job: Job) -> Version:
    version = await subject.jobs.create(job)
    assert isinstance(version, Version)
    return version


async def stored(subject: Subject, id: str) -> Stored[Job]:
    found = await subject.jobs.read(id)
    assert found is not None
    return found


async def test_a_tombstone_is_read_as_it_was_written(subject: Subject) -> None:
    job = tombstone(new_spec())
    await written(subject, job)
    assert (await stored(subject, job.spec.id)).value == job


async def test_a_tombstone_gets_its_spec(subject: Subject) -> None:
    spec = new_spec()
    bare = tombstone(spec)
    held = await written(subject, bare)
    result = await subject.jobs.replace(bare.completed(spec), held)
    found = await stored(subject, spec.id)
    assert found.version == result
    assert found.value == bare.completed(spec)
    assert found.value.order > bare.order


async def test_a_stub_keeps_nothing_of_what_was_there(subject: Subject) -> None:
    job = full(failed(running()))
    stub = job.erased(at=AT + 77)
    await subject.jobs.replace(stub, await written(subject, job))
    found = (await stored(subject, job.spec.id)).value
    assert found == stub
    assert (found.spec.input, found.output, found.spec.labels, found.attempts) == (b"", None, {}, ())
    assert found.error is not None
    assert found.error.message == ""
    assert (found.status, found.attempt, found.spec.batch) == (JobStatus.FAILED, job.attempt, job.spec.batch)


async def test_a_stub_may_come_before_any_document(subject: Subject) -> None:
    stub = tombstone(new_spec()).erased(at=AT + 5)
    await written(subject, stub)
    assert (await stored(subject, stub.spec.id)).value == stub
    assert await subject.jobs.create(running(replace(new_spec(), id=stub.spec.id))) is Conflict.EXISTS


async def test_replacing_under_an_old_version_changes_nothing(subject: Subject) -> None:
    job = running()
    old = await written(subject, job)
    assert isinstance(await subject.jobs.update(job.succeeded(b"1", at=AT), old), Version)
    assert await subject.jobs.replace(job.erased(at=AT), old) is Conflict.STALE
    assert (await stored(subject, job.spec.id)).value == job.succeeded(b"1", at=AT)


async def test_replacing_what_is_not_there_is_refused(subject: Subject) -> None:
    held = await written(subject, running())
    job = replace(running(), spec=replace(new_spec(), id=new_id()))
    assert await subject.jobs.replace(job, held) in {Conflict.STALE, Conflict.MISSING}
    assert await subject.jobs.read(job.spec.id) is None


async def test_one_of_many_rivals_replaces(subject: Subject) -> None:
    job = running()
    held = await written(subject, job)
    results = await asyncio.gather(*(subject.jobs.replace(job.erased(at=AT + n), held) for n in range(20)))
    assert sum(isinstance(result, Version) for result in results) == 1
