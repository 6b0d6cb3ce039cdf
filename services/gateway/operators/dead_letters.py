"""`GET /v1/dead-letters` and `…/groups`: jobs that were given up on, and what they died of. Scope `operator`.

The first is a list, latest first, each with its error and the attempts before it. The second sums the same up by
fingerprint: one line for each cause, over the latest of them. A key with the scope `system` sees every tenant's.

Documents outlive what they show, so a page looks at a bounded number of them: it may have fewer entries than `limit`,
or none, while `next` says that there is more.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import web

from services.gateway.access.tenants import seen_tenant
from services.gateway.http.paging import Cursors, check_query, page_answer, page_of
from services.gateway.operators.dead_requests import FILTERS, place_of, spelled, wanted_letters
from shared.clock import Clock, rfc3339
from shared.models.job import Job, Retention
from shared.models.key import ApiKey
from shared.models.public import render_entry
from shared.storage.dead_letters import DeadLetterFilter, DeadLetters, DeadPlace

MAX_LOOKED_AT: Final = 1_000
"""Documents that one page looks at."""
MAX_SUMMED_UP: Final = 5_000
"""Dead letters that groups are made of: the latest."""
PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Page:
    jobs: Sequence[Job]
    goes_on: DeadPlace | None
    """Behind which the next page begins, if there may be one."""


@dataclass(slots=True)
class Group:
    """The dead letters of one fingerprint. latest: of them, whose error stands for all."""

    latest: Job
    first_failed_at: int
    count: int = 0

    def shown(self) -> dict[str, Any]:
        job = self.latest
        error = job.error
        return {
            "fingerprint": job.fingerprint,
            "handler": job.spec.handler,
            "code": error and error.code,
            "message": error and error.message,
            "count": self.count,
            "first_failed_at": rfc3339(self.first_failed_at),
            "last_failed_at": rfc3339(job.finished_at or 0),
            "latest": job.spec.id,
        }


@dataclass(frozen=True, slots=True)
class Letters:
    """Dead letters as they may be seen."""

    letters: DeadLetters
    retention: Retention
    clock: Clock

    async def page(self, wanted: DeadLetterFilter, *, after: DeadPlace | None, limit: int) -> Page:
        """Raises StoreUnavailable, Overloaded."""
        found: list[Job] = []
        looked_at, goes_on = 0, after
        while len(found) < limit and looked_at < MAX_LOOKED_AT:
            jobs = await self.letters.page(wanted, after=goes_on, limit=limit + 1)
            found += self._kept(jobs)
            if len(jobs) <= limit and len(found) <= limit:
                return Page(found, None)
            looked_at, goes_on = looked_at + len(jobs), DeadPlace.of(jobs[-1])
        if len(found) > limit:
            return Page(found[:limit], DeadPlace.of(found[limit - 1]))
        return Page(found, goes_on)

    async def each(self, wanted: DeadLetterFilter, *, most: int) -> AsyncIterator[Job]:
        """The latest of them, at most so many of which some may be past their retention. Raises as `page`."""
        after: DeadPlace | None = None
        for _ in range(0, most, PAGE):
            jobs = await self.letters.page(wanted, after=after, limit=PAGE)
            for job in self._kept(jobs):
                yield job
            if len(jobs) < PAGE:
                return
            after = DeadPlace.of(jobs[-1])

    async def beyond(self, wanted: DeadLetterFilter, last: Job | None) -> bool:
        """Whether there are more below `last`."""
        return last is not None and bool(await self.letters.page(wanted, after=DeadPlace.of(last), limit=1))

    def _kept(self, jobs: Sequence[Job]) -> list[Job]:
        now = self.clock.now()
        return [job for job in jobs if not self.retention.over(job, now)]


@dataclass(frozen=True, slots=True)
class DeadLetterRoutes:
    letters: Letters
    cursors: Cursors

    async def page(self, request: web.Request, key: ApiKey) -> web.Response:
        """`GET /v1/dead-letters`."""
        tenant = seen_tenant(request.query.get("tenant"), key)
        listing = listing_of(tenant)
        asked = page_of(request, self.cursors, listing, filters=["tenant", *FILTERS])
        found = await self.letters.page(_wanted(request, tenant), after=place_of(asked.after), limit=asked.limit)
        cursor = None if found.goes_on is None else self.cursors.seal(listing, spelled(found.goes_on))
        return page_answer(request, [_shown(job) for job in found.jobs], cursor)

    async def groups(self, request: web.Request, key: ApiKey) -> web.Response:
        """`GET /v1/dead-letters/groups`: those with the most dead letters first."""
        tenant = seen_tenant(request.query.get("tenant"), key)
        check_query(request, {"tenant", *FILTERS})
        wanted = _wanted(request, tenant)
        groups: dict[str, Group] = {}
        looked_at, last = 0, None
        async for job in self.letters.each(wanted, most=MAX_SUMMED_UP):
            group = groups.setdefault(job.fingerprint or "", Group(job, 0))
            group.count, group.first_failed_at = group.count + 1, job.finished_at or 0
            looked_at, last = looked_at + 1, job
        complete = looked_at < MAX_SUMMED_UP or not await self.letters.beyond(wanted, last)
        data = [group.shown() for group in sorted(groups.values(), key=lambda group: -group.count)]
        body = orjson.dumps({"data": data, "looked_at": looked_at, "complete": complete})
        return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "private, no-cache"})


def listing_of(tenant: str | None) -> str:
    """What a cursor is good for."""
    return f"dead letters of {tenant or 'all'}"


def _wanted(request: web.Request, tenant: str | None) -> DeadLetterFilter:
    return wanted_letters({name: request.query[name] for name in FILTERS if name in request.query}, tenant)


def _shown(job: Job) -> dict[str, Any]:
    return {
        "tenant": job.spec.tenant,
        "fingerprint": job.fingerprint,
        "failed_at": rfc3339(job.finished_at or 0),
        "job": orjson.Fragment(render_entry(job)),
    }
