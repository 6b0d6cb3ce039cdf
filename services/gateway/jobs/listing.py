"""`GET /v1/jobs`: a tenant's jobs, newest first, page by page.

Entries are jobs without their `output`, which each has under `urls.self`. What workers have claimed comes from the
store. What none has claimed yet is known to Redis alone, and shown on the first page only, as far as the list of jobs
accepted lately reaches and Redis answers: best effort.

Documents outlive what they show (late messages must meet them), so a page looks at a bounded number of them: it may
have fewer entries than `limit`, or none, while `next` says that there is more.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from services.gateway.http.fields import BeyondError, Fields, MalformedError, text, time
from services.gateway.http.labels import MAX_LABEL_KEY, MAX_LABEL_VALUE
from services.gateway.http.paging import Cursors, page_answer, page_of
from shared.cache.contract import Recent
from shared.clock import Clock
from shared.errors import CacheUnavailable, Overloaded
from shared.ids import Ids
from shared.models.job import Job, JobStatus, Retention
from shared.models.key import ApiKey
from shared.models.public import Snapshot, render_entry
from shared.storage.contract import JobFilter, JobLists, Place

MAX_LOOKED_AT = 1_000
"""Documents that one page looks at."""
AT_ONCE = 100
"""Accepted jobs that are looked up in one request."""
LABEL = "label."
PAGING = frozenset({"limit", "cursor"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One job of a list."""

    place: Place
    body: bytes


@dataclass(frozen=True, slots=True)
class Page:
    entries: Sequence[Entry]
    goes_on: Place | None
    """Behind which the next page begins, if there may be one."""


class Lists:
    def __init__(
        self, *, lists: JobLists, recent: Recent, ids: Ids, cursors: Cursors, retention: Retention, clock: Clock
    ) -> None:
        self._lists = lists
        self._recent = recent
        self._ids = ids
        self._cursors = cursors
        self._retention = retention
        self._clock = clock

    async def get(self, request: web.Request, key: ApiKey) -> web.Response:
        """The endpoint."""
        listing, filters = f"jobs of {key.tenant}", [name for name in request.query if name not in PAGING]
        asked = page_of(request, self._cursors, listing, filters=filters)
        wanted = wanted_jobs({name: request.query[name] for name in filters}, key.tenant)
        page = await self.page(wanted, after=_place_of(asked.after), limit=asked.limit)
        cursor = None if page.goes_on is None else self._cursors.seal(listing, _spelled(page.goes_on))
        return page_answer(request, [orjson.Fragment(entry.body) for entry in page.entries], cursor)

    async def page(self, wanted: JobFilter, *, after: Place | None, limit: int) -> Page:
        """Raises StoreUnavailable, Overloaded."""
        page = await self._claimed(wanted, after, limit)
        if after is not None or wanted.status not in {None, JobStatus.QUEUED}:
            return page
        unclaimed = await self._unclaimed(wanted, page, limit)
        entries = sorted((*page.entries, *unclaimed), key=lambda entry: entry.place, reverse=True)
        if len(entries) <= limit:
            return Page(entries, page.goes_on)
        return Page(entries[:limit], entries[limit - 1].place)

    async def _claimed(self, wanted: JobFilter, after: Place | None, limit: int) -> Page:
        """What the store has."""
        entries: list[Entry] = []
        looked_at, goes_on = 0, after
        while len(entries) < limit and looked_at < MAX_LOOKED_AT:
            jobs = await self._lists.page(wanted, after=goes_on, limit=limit)
            entries += self._shown(jobs)
            if len(jobs) < limit and len(entries) <= limit:
                return Page(entries, None)
            looked_at, goes_on = looked_at + len(jobs), Place.of(jobs[-1])
        if len(entries) > limit:
            return Page(entries[:limit], entries[limit - 1].place)
        return Page(entries, goes_on)

    def _shown(self, jobs: Iterable[Job]) -> list[Entry]:
        now = self._clock.now()
        return [Entry(Place.of(job), render_entry(job)) for job in jobs if not self._retention.over(job, now)]

    async def _unclaimed(self, wanted: JobFilter, page: Page, limit: int) -> list[Entry]:
        """What was accepted lately and belongs on the page, unless the page has it."""
        try:
            accepted = await self._recent.newest(wanted.tenant)
        except (CacheUnavailable, Overloaded):
            return []
        shown = {entry.place.id for entry in page.entries}
        candidates = [
            entry
            for state in accepted
            if state.id not in shown
            and (entry := self._candidate(state, wanted)) is not None
            and (page.goes_on is None or entry.place > page.goes_on)
        ]
        entries: list[Entry] = []
        for start in range(0, len(candidates), AT_ONCE):
            if len(entries) >= limit:
                break
            entries += await self._as_they_are(wanted, candidates[start : start + AT_ONCE])
        return entries

    def _candidate(self, state: Snapshot, wanted: JobFilter) -> Entry | None:
        """The accepted job as an entry, if it fits what is wanted as far as acceptance tells."""
        issued = self._ids.verify("job", wanted.tenant, state.id)
        if issued is None:
            return None
        job = orjson.loads(state.body)
        if not _fits(job, issued.created_at, wanted):
            return None
        del job["output"]
        return Entry(Place(issued.created_at, state.id), orjson.dumps(job))

    async def _as_they_are(self, wanted: JobFilter, candidates: Sequence[Entry]) -> list[Entry]:
        """Those that no worker has claimed; and those that one has since the store was asked, as they are now."""
        jobs = await self._lists.summaries([entry.place.id for entry in candidates])
        claimed = [job for job in jobs if job is not None and job.deleted_at is None and wanted.status is None]
        unclaimed = [entry for entry, job in zip(candidates, jobs, strict=True) if job is None]
        return [*unclaimed, *self._shown(claimed)]


def _fits(job: Mapping[str, Any], created_at: int, wanted: JobFilter) -> bool:
    return (
        job["status"] == JobStatus.QUEUED
        and wanted.handler in {None, job["handler"]}
        and (wanted.label is None or wanted.label in job["labels"].items())
        and (wanted.created_after is None or created_at > wanted.created_after)
        and (wanted.created_before is None or created_at < wanted.created_before)
    )


def wanted_jobs(query: Mapping[str, str], tenant: str) -> JobFilter:
    """The filter that a query asks for. Raises Problem: 400 for what is malformed, 422 beyond a limit."""
    fields = Fields(dict(query), of="this query")
    wanted = JobFilter(
        tenant,
        status=fields.optional("status", _status),
        handler=fields.optional("handler", text()),
        label=_label(fields, [name for name in query if name.startswith(LABEL)]),
        created_after=fields.optional("created_after", time),
        created_before=fields.optional("created_before", time),
    )
    fields.finish()
    return wanted


def _label(fields: Fields, names: Sequence[str]) -> tuple[str, str] | None:
    labels = [(name.removeprefix(LABEL), fields.required(name, _label_value)) for name in names]
    for name in names:
        if not 0 < len(name.removeprefix(LABEL)) <= MAX_LABEL_KEY:
            fields.beyond(name, f"the label's key must be 1 to {MAX_LABEL_KEY} characters")
    for name in names[1:]:
        fields.malformed(name, "is a second label; a list takes one")
    return labels[0] if labels else None


def _label_value(value: str) -> str:
    if len(value) > MAX_LABEL_VALUE:
        raise BeyondError(f"must have at most {MAX_LABEL_VALUE} characters")
    return value


def _status(value: str) -> JobStatus:
    try:
        return JobStatus(value)
    except ValueError:
        raise MalformedError(f"must be one of {', '.join(JobStatus)}") from None


def _spelled(place: Place) -> str:
    return f"{place.created_at}:{place.id}"


def _place_of(spelling: str) -> Place | None:
    created_at, _, id = spelling.partition(":")
    return Place(int(created_at), id) if spelling else None
