"""JobLists, on every store: newest first, across shards, page by page, without what makes jobs large."""

import itertools
import os
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import pytest

from shared.clock import SystemClock
from shared.models.job import Job, JobSpec, JobStatus
from shared.storage.contract import (
    JOB_SHARDS,
    JobErasure,
    JobFilter,
    JobLists,
    JobOutcomes,
    JobWrites,
    Place,
    Version,
    shard_of,
)
from shared.storage.firestore import FirestoreDatabase, FirestoreJobLists, FirestoreJobs
from shared.storage.memory import MemoryDatabase, MemoryJobLists, MemoryJobs
from tests.contract.storage.samples import AT, failed, new_id, new_spec, running
from tests.contract.storage.storage_subject import PATIENT, new_project


class Lists(JobLists, JobOutcomes, Protocol):
    """Both that one repository is."""


class Jobs(JobWrites, JobErasure, Protocol):
    """What the tests write with."""


@dataclass(frozen=True, slots=True)
class Store:
    jobs: Jobs
    lists: Lists


@pytest.fixture
async def store(store_address: str) -> AsyncIterator[Store]:
    if not store_address:
        memory = MemoryDatabase(SystemClock())
        yield Store(MemoryJobs(memory), MemoryJobLists(memory))
        return
    async with FirestoreDatabase(new_project(), store_address, limits=PATIENT) as database:
        yield Store(FirestoreJobs(database), FirestoreJobLists(database))


@pytest.fixture
def tenant() -> str:
    return f"t-{os.urandom(6).hex()}"


def spec_of(tenant: str, created_at: int, handler: str = "a.b", **labels: str) -> JobSpec:
    return replace(new_spec(), id=new_id(), tenant=tenant, created_at=created_at, handler=handler, labels=labels)


def done(spec: JobSpec) -> Job:
    return running(spec).succeeded(b'"out"', at=AT)


async def write(store: Store, jobs: Sequence[Job]) -> None:
    for job in jobs:
        assert isinstance(await store.jobs.create(job), Version)


def expected(jobs: Sequence[Job]) -> list[str]:
    return [job.spec.id for job in sorted(jobs, key=Place.of, reverse=True)]


async def all_pages(store: Store, wanted: JobFilter, limit: int) -> list[str]:
    found: list[str] = []
    after = None
    for _ in range(100):
        page = await store.lists.page(wanted, after=after, limit=limit)
        found += [job.spec.id for job in page]
        if len(page) < limit:
            return found
        after = Place.of(page[-1])
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("limit", [1, 7, 40, 100])
async def test_pages_have_every_job_once_newest_first(store: Store, tenant: str, limit: int) -> None:
    rng = random.Random(limit)
    jobs = [done(spec_of(tenant, AT + rng.randrange(10))) for _ in range(60)]  # many share their millisecond
    await write(store, [*jobs, done(spec_of(f"{tenant}-other", AT))])
    assert await all_pages(store, JobFilter(tenant), limit) == expected(jobs)


async def test_jobs_of_one_shard_alone_fill_a_page(store: Store, tenant: str) -> None:
    """A shard is asked again when its share of the page is used up."""
    ids = (spec for spec in (spec_of(tenant, AT + n) for n in itertools.count()) if shard_of(spec.id, JOB_SHARDS) == 3)
    jobs = [done(spec) for spec in itertools.islice(ids, 50)]
    await write(store, jobs)
    page = await store.lists.page(JobFilter(tenant), after=None, limit=45)
    assert [job.spec.id for job in page] == expected(jobs)[:45]


FILTERS: Sequence[tuple[str, Callable[[str], JobFilter], Callable[[Job], bool]]] = (
    ("status", lambda t: JobFilter(t, status=JobStatus.FAILED), lambda job: job.status is JobStatus.FAILED),
    ("handler", lambda t: JobFilter(t, handler="x.y"), lambda job: job.spec.handler == "x.y"),
    ("label", lambda t: JobFilter(t, label=("a=b%", "c=d")), lambda job: job.spec.labels.get("a=b%") == "c=d"),
    ("after", lambda t: JobFilter(t, created_after=AT + 10), lambda job: job.spec.created_at > AT + 10),
    ("before", lambda t: JobFilter(t, created_before=AT + 10), lambda job: job.spec.created_at < AT + 10),
    (
        "all",
        lambda t: JobFilter(t, JobStatus.FAILED, "x.y", ("a=b%", "c=d"), AT + 2, AT + 18),
        lambda job: (
            job.status is JobStatus.FAILED
            and job.spec.handler == "x.y"
            and job.spec.labels.get("a=b%") == "c=d"
            and AT + 2 < job.spec.created_at < AT + 18
        ),
    ),
)


@pytest.mark.parametrize(("wanted", "fits"), [each[1:] for each in FILTERS], ids=[each[0] for each in FILTERS])
async def test_a_list_shows_what_fits(
    store: Store, tenant: str, wanted: Callable[[str], JobFilter], fits: Callable[[Job], bool]
) -> None:
    jobs = []
    for number in range(24):
        labels = {"a=b%": "c=d", "z": "1"} if number % 3 else {"a": "b%=c=d"}
        spec = spec_of(tenant, AT + number, "x.y" if number % 2 else "a.b", **labels)
        jobs.append(failed(running(spec)) if number % 4 > 1 else done(spec))
    await write(store, jobs)
    fitting = [job for job in jobs if fits(job)]
    assert 0 < len(fitting) < len(jobs)
    assert await all_pages(store, wanted(tenant), 5) == expected(fitting)


async def test_a_listed_job_is_whole_but_for_what_is_large(store: Store, tenant: str) -> None:
    job = failed(running(spec_of(tenant, AT, team="a")))
    await write(store, [job])
    [listed] = await store.lists.page(JobFilter(tenant), after=None, limit=10)
    assert listed == replace(job, spec=replace(job.spec, input=b"", traceparent=None), output=None)


async def test_stubs_are_in_no_list(store: Store, tenant: str) -> None:
    job = done(spec_of(tenant, AT))
    held = await store.jobs.create(job)
    assert isinstance(held, Version)
    await store.jobs.replace(job.erased(at=AT), held)
    await write(store, [done(spec_of(tenant, AT)).erased(at=AT)])
    assert await store.lists.page(JobFilter(tenant), after=None, limit=10) == []


async def test_summaries_tell_which_have_documents(store: Store, tenant: str) -> None:
    job, stub = done(spec_of(tenant, AT)), done(spec_of(tenant, AT)).erased(at=AT + 1)
    await write(store, [job, stub])
    found = await store.lists.summaries([new_id(), stub.spec.id, job.spec.id, new_id()])
    assert [each and each.spec.id for each in found] == [None, stub.spec.id, job.spec.id, None]
    assert found[2] is not None
    assert (found[2].output, found[2].spec.input) == (None, b"")
    assert found[1] is not None
    assert found[1].deleted_at == AT + 1
    assert await store.lists.summaries([]) == []


async def test_outcomes_are_what_concerns_the_end_and_nothing_of_the_spec(store: Store, tenant: str) -> None:
    jobs = [done(spec_of(tenant, AT)), failed(running(spec_of(tenant, AT))), done(spec_of(tenant, AT)).erased(at=AT)]
    await write(store, jobs)
    ids = [new_id(), *(job.spec.id for job in jobs)]
    missing, *found = await store.lists.outcomes(ids)
    assert missing is None
    for job, each in zip(jobs, found, strict=True):
        bare = JobSpec(job.spec.id, "", "", "", b"", 0, 0, timeout_seconds=0.0, max_attempts=0)
        assert each == replace(job, spec=bare, fence="", worker="", lease_seconds=0, fingerprint=None)
    assert await store.lists.outcomes([]) == []
