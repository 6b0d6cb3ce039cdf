"""DeadLetters, on every store: the jobs that were given up on and no others, latest first, page by page."""

import os
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import pytest

from shared.clock import SystemClock
from shared.models.job import ErrorCode, Job, JobError
from shared.storage.contract import JobErasure, JobWrites, Version
from shared.storage.dead_letters import DeadLetterFilter, DeadLetters, DeadPlace
from shared.storage.firestore import FirestoreDatabase, FirestoreDeadLetters, FirestoreJobs
from shared.storage.memory import MemoryDatabase, MemoryJobs
from shared.storage.memory_letters import MemoryDeadLetters
from tests.contract.storage.samples import AT, new_id, new_spec, running
from tests.contract.storage.storage_subject import PATIENT, new_project


class Jobs(JobWrites, JobErasure, Protocol):
    """What the tests write with."""


@dataclass(frozen=True, slots=True)
class Store:
    jobs: Jobs
    letters: DeadLetters


@pytest.fixture
async def store(store_address: str) -> AsyncIterator[Store]:
    if not store_address:
        memory = MemoryDatabase(SystemClock())
        yield Store(MemoryJobs(memory), MemoryDeadLetters(memory))
        return
    async with FirestoreDatabase(new_project(), store_address, limits=PATIENT) as database:
        yield Store(FirestoreJobs(database), FirestoreDeadLetters(database))


@pytest.fixture
def tenant() -> str:
    return f"t-{os.urandom(6).hex()}"


def dead(
    tenant: str, at: int, handler: str = "a.b", message: str = "ValueError: no", code: str = "attempts_exhausted"
) -> Job:
    job = running(replace(new_spec(), id=new_id(), tenant=tenant, handler=handler))
    return job.failed(JobError(ErrorCode(code), message, retryable=False), at=at)


async def write(store: Store, jobs: Sequence[Job]) -> None:
    for job in jobs:
        assert isinstance(await store.jobs.create(job), Version)


def expected(jobs: Sequence[Job]) -> list[str]:
    return [job.spec.id for job in sorted(jobs, key=DeadPlace.of, reverse=True)]


async def all_pages(store: Store, wanted: DeadLetterFilter, limit: int) -> list[str]:
    found: list[str] = []
    after = None
    for _ in range(100):
        page = await store.letters.page(wanted, after=after, limit=limit)
        found += [job.spec.id for job in page]
        if len(page) < limit:
            return found
        after = DeadPlace.of(page[-1])
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_pages_have_every_dead_letter_once_latest_first(store: Store, tenant: str, limit: int) -> None:
    rng = random.Random(limit)
    jobs = [dead(tenant, AT + rng.randrange(10)) for _ in range(40)]  # many share their millisecond
    await write(store, [*jobs, dead(f"{tenant}-other", AT)])
    assert await all_pages(store, DeadLetterFilter(tenant), limit) == expected(jobs)


async def test_only_what_was_given_up_on_is_a_dead_letter(store: Store, tenant: str) -> None:
    alive = running(replace(new_spec(), id=new_id(), tenant=tenant))
    rejected = dead(tenant, AT, code="rejected")
    succeeded = running(replace(new_spec(), id=new_id(), tenant=tenant)).succeeded(b"1", at=AT)
    undelivered = Job.queued(replace(new_spec(), id=new_id(), tenant=tenant)).undeliverable(
        JobError(ErrorCode.UNDELIVERABLE, "given up", retryable=False), at=AT
    )
    await write(store, [alive, rejected, succeeded, undelivered])
    assert await all_pages(store, DeadLetterFilter(tenant), 10) == [undelivered.spec.id]


async def test_a_job_becomes_a_dead_letter_when_it_fails(store: Store, tenant: str) -> None:
    job = running(replace(new_spec(), id=new_id(), tenant=tenant))
    held = await store.jobs.create(job)
    assert isinstance(held, Version)
    over = job.failed(JobError(ErrorCode.HANDLER_ERROR, "KeyError: 'x'", retryable=False), at=AT + 9)
    await store.jobs.update(over, held)
    [found] = await store.letters.page(DeadLetterFilter(tenant), after=None, limit=10)
    assert found == replace(over, spec=replace(job.spec, input=b"", traceparent=None), output=None)
    assert found.fingerprint == over.fingerprint is not None
    assert found.attempts == over.attempts


FILTERS: Sequence[tuple[str, Callable[[str, str], DeadLetterFilter], Callable[[Job, str], bool]]] = (
    ("handler", lambda t, _: DeadLetterFilter(t, handler="x.y"), lambda job, _: job.spec.handler == "x.y"),
    ("fingerprint", lambda t, f: DeadLetterFilter(t, fingerprint=f), lambda job, f: job.fingerprint == f),
    ("after", lambda t, _: DeadLetterFilter(t, failed_after=AT + 10), lambda job, _: (job.finished_at or 0) > AT + 10),
    ("before", lambda t, _: DeadLetterFilter(t, failed_before=AT + 9), lambda job, _: (job.finished_at or 0) < AT + 9),
    (
        "all",
        lambda t, f: DeadLetterFilter(t, "x.y", f, AT + 2, AT + 20),
        lambda job, f: job.fingerprint == f and AT + 2 < (job.finished_at or 0) < AT + 20,
    ),
)


@pytest.mark.parametrize(("wanted", "fits"), [each[1:] for each in FILTERS], ids=[each[0] for each in FILTERS])
async def test_a_list_shows_what_fits(
    store: Store,
    tenant: str,
    wanted: Callable[[str, str], DeadLetterFilter],
    fits: Callable[[Job, str], bool],
) -> None:
    jobs = [
        dead(tenant, AT + n, "x.y" if n % 2 else "a.b", "OSError: gone" if n % 3 else "ValueError: no")
        for n in range(24)
    ]
    await write(store, jobs)
    mark = jobs[1].fingerprint
    assert mark is not None
    fitting = [job for job in jobs if fits(job, mark)]
    assert 0 < len(fitting) < len(jobs)
    assert await all_pages(store, wanted(tenant, mark), 5) == expected(fitting)


async def test_every_tenants_are_seen_where_none_is_named(store: Store, tenant: str) -> None:
    jobs = [dead(f"{tenant}-{n}", AT + n) for n in range(3)]
    await write(store, jobs)
    assert await all_pages(store, DeadLetterFilter(None), 2) == expected(jobs)


async def test_a_deleted_job_is_no_dead_letter_any_more(store: Store, tenant: str) -> None:
    job = dead(tenant, AT)
    held = await store.jobs.create(job)
    assert isinstance(held, Version)
    await store.jobs.replace(job.erased(at=AT + 1), held)
    assert await store.letters.page(DeadLetterFilter(None), after=None, limit=10) == []
