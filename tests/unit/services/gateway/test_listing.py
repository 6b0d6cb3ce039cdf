"""Pages of jobs: what is asked for, what the store and the list of accepted jobs have, and what has had its time."""

from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest

from services.gateway.http.paging import Cursors
from services.gateway.http.problems import Problem
from services.gateway.jobs.listing import MAX_LOOKED_AT, Lists, Page, wanted_jobs
from shared.cache.memory import MemoryCache
from shared.cache.memory_streams import MemoryRecent
from shared.clock import ManualClock
from shared.ids import IdKeys, Ids
from shared.models.job import Job, JobSpec, JobStatus, Retention
from shared.models.public import snapshot
from shared.storage.contract import JobFilter, Version
from shared.storage.memory import MemoryDatabase, MemoryJobLists, MemoryJobs

KEYS = IdKeys({1: b"k" * 32})
ALL = JobFilter("acme")
DAY_SECONDS = 86_400


@dataclass
class Bench:
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        database = MemoryDatabase(self.clock)
        self.cache = MemoryCache(self.clock)
        self.jobs, self.recent, self.ids = MemoryJobs(database), MemoryRecent(self.cache), Ids(KEYS)
        self.lists = Lists(
            lists=MemoryJobLists(database),
            recent=self.recent,
            ids=self.ids,
            cursors=Cursors(KEYS),
            retention=Retention(),
            clock=self.clock,
        )

    async def accept(self, *, tenant: str = "acme", listed: bool = True, **fields: Any) -> JobSpec:
        """A new job, a second after the one before."""
        await self.clock.advance(1)
        issued = self.ids.issue("job", tenant, created_at=self.clock.now(), lifetime_ms=86_400_000)
        spec = JobSpec(issued.text, tenant, "h", "default", b"{}", issued.created_at, issued.expires_at, 30.0, 3)
        spec = replace(spec, **fields)
        if listed:
            self.recent.add(tenant, snapshot(Job.queued(spec)))
        return spec

    async def finish(self, spec: JobSpec) -> None:
        job = Job.queued(spec).claimed(attempt=1, fence="f", worker="w", lease_seconds=15, at=self.clock.now())
        assert isinstance(await self.jobs.create(job.succeeded(b'"large"', at=self.clock.now())), Version)

    async def page(self, wanted: JobFilter = ALL, after: Page | None = None, limit: int = 10) -> Page:
        return await self.lists.page(wanted, after=after.goes_on if after else None, limit=limit)


def ids(page: Page) -> list[str]:
    return [entry.place.id for entry in page.entries]


def states(page: Page) -> list[str]:
    return [orjson.loads(entry.body)["status"] for entry in page.entries]


async def test_what_waits_stands_among_what_was_claimed_in_the_order_of_time() -> None:
    b = Bench()
    specs = [await b.accept() for _ in range(6)]
    for spec in specs[1::2]:
        await b.finish(spec)
    page = await b.page()
    assert ids(page) == [spec.id for spec in reversed(specs)]
    assert states(page) == ["succeeded", "queued"] * 3
    assert all(b"output" not in entry.body for entry in page.entries)


async def test_a_full_first_page_goes_on_behind_its_last_entry() -> None:
    b = Bench()
    specs = [await b.accept() for _ in range(9)]
    for spec in specs[:6]:
        await b.finish(spec)
    first = await b.page(limit=4)
    second = await b.page(after=first, limit=4)
    third = await b.page(after=second, limit=4)
    assert ids(first) + ids(second) + ids(third) == [spec.id for spec in reversed(specs)]
    assert (len(ids(first)), len(ids(second)), third.goes_on) == (4, 4, None)


async def test_what_waits_behind_a_full_page_is_not_put_before_it() -> None:
    b = Bench()
    waiting = await b.accept()
    claimed = [await b.accept() for _ in range(5)]
    for spec in claimed:
        await b.finish(spec)
    assert waiting.id not in ids(await b.page(limit=3))


async def test_filters_hold_for_what_waits() -> None:
    b = Bench()
    one = await b.accept(handler="x.y", labels={"team": "a", "z": "1"})
    other = await b.accept(labels={"team": "b"})
    await b.accept(tenant="other", labels={"team": "a"})
    cases: list[tuple[JobFilter, list[str]]] = [
        (ALL, [other.id, one.id]),
        (JobFilter("acme", handler="x.y"), [one.id]),
        (JobFilter("acme", label=("team", "b")), [other.id]),
        (JobFilter("acme", JobStatus.QUEUED), [other.id, one.id]),
        (JobFilter("acme", JobStatus.SUCCEEDED), []),
        (JobFilter("acme", created_after=one.created_at), [other.id]),
        (JobFilter("acme", created_before=other.created_at), [one.id]),
    ]
    for wanted, expected in cases:
        assert ids(await b.page(wanted)) == expected


async def test_queued_shows_none_that_was_claimed() -> None:
    b = Bench()
    specs = [await b.accept() for _ in range(250)]
    for spec in specs[:240]:
        await b.finish(spec)
    await b.finish(specs[-1])
    page = await b.page(JobFilter("acme", JobStatus.QUEUED), limit=5)
    assert ids(page) == [spec.id for spec in specs[248:243:-1]]


async def test_what_was_deleted_or_forged_is_not_shown() -> None:
    b = Bench()
    spec = await b.accept()
    stub = Job.queued(spec).canceled(at=b.clock.now()).erased(at=b.clock.now())
    await b.jobs.create(stub)
    forged = replace(snapshot(Job.queued(spec)), id=spec.id[:-1] + ("0" if spec.id[-1] != "0" else "1"))
    b.recent.add("acme", forged)
    assert ids(await b.page()) == []


async def test_without_redis_what_was_claimed_is_shown() -> None:
    b = Bench()
    await b.accept()
    claimed = await b.accept()
    await b.finish(claimed)
    b.cache.stop()
    assert ids(await b.page()) == [claimed.id]


async def test_what_is_past_its_retention_is_passed_over() -> None:
    b = Bench()
    old = [await b.accept(listed=False) for _ in range(30)]
    for spec in old:
        await b.finish(spec)
    await b.clock.advance(DAY_SECONDS)
    fresh = await b.accept(listed=False)
    await b.finish(fresh)
    page = await b.page(limit=10)
    assert (ids(page), page.goes_on) == ([fresh.id], None)


async def test_a_page_looks_at_a_bounded_number_of_documents() -> None:
    b = Bench()
    oldest = await b.accept(listed=False)
    await b.jobs.create(Job.scheduled(replace(oldest, scheduled_for=b.clock.now() + 10**10)))
    for _ in range(MAX_LOOKED_AT + 100):
        await b.finish(await b.accept(listed=False))
    await b.clock.advance(DAY_SECONDS)
    first = await b.page(limit=100)
    assert first.entries == []
    assert first.goes_on is not None
    second = await b.page(after=first, limit=100)
    assert (ids(second), second.goes_on) == ([oldest.id], None)


def test_a_query_says_what_is_wanted() -> None:
    query = {
        "status": "failed",
        "handler": "text.stats",
        "label.team=x": "a=b",
        "created_after": "2026-01-01T00:00:00Z",
        "created_before": "2026-01-02T01:00:00.5+01:00",
    }
    assert wanted_jobs(query, "acme") == JobFilter(
        "acme", JobStatus.FAILED, "text.stats", ("team=x", "a=b"), 1_767_225_600_000, 1_767_312_000_500
    )
    assert wanted_jobs({}, "acme") == ALL


def test_every_fault_of_a_query_is_told_at_once() -> None:
    with pytest.raises(Problem) as refusal:
        wanted_jobs({"status": "done", "handler": "", "colour": "red", "created_after": "soon"}, "acme")
    assert refusal.value.type.status == 400
    pointers = {fault.pointer for fault in refusal.value.errors}
    assert pointers == {"/status", "/handler", "/colour", "/created_after"}
