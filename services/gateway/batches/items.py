"""`GET /v1/batches/{id}/jobs`: what became of a batch's items, in the order of their indexes, page by page.

Which items a page has, the batch's document says; their ids are computed, and their documents read by id. An item that
no worker has claimed has none, and is shown as queued. What an item is doing now, its own document knows better than
the batch's: of those that are not over, the page shows the ones whose documents fit.

A page looks at a bounded number of documents: it may have fewer entries than `limit`, or none, while `next` says that
there is more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import orjson
from aiohttp import web

from services.gateway.batches.states import BatchStates
from services.gateway.http.fields import Fields, MalformedError
from services.gateway.http.paging import Cursors, page_answer, page_of
from shared.clock import Clock
from shared.ids import Ids
from shared.models import bitmap
from shared.models.batch import Batch
from shared.models.job import Job, JobStatus, Retention
from shared.models.key import ApiKey
from shared.models.public import render_entry
from shared.storage.contract import JobLists

MAX_LOOKED_AT: Final = 1_000
AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Item:
    index: int
    job: Job

    def render(self) -> bytes:
        """As a list shows a job, with the index before everything else."""
        return b'{"index":%d,%b' % (self.index, render_entry(self.job)[1:])


class BatchItems:
    def __init__(
        self,
        *,
        states: BatchStates,
        jobs: JobLists,
        ids: Ids,
        cursors: Cursors,
        retention: Retention,
        clock: Clock,
    ) -> None:
        self._states = states
        self._jobs = jobs
        self._ids = ids
        self._cursors = cursors
        self._retention = retention
        self._clock = clock

    async def page(self, request: web.Request, key: ApiKey) -> web.Response:
        """The endpoint."""
        issued = self._states.verify(request.match_info["id"], key.tenant)
        listing = f"items of {issued.text}"
        asked = page_of(request, self._cursors, listing, filters={"status"})
        status = _status_of(request)
        batch = await self._states.document(issued)
        items, goes_on = await self._page(batch, status, int(asked.after or 0), asked.limit)
        cursor = None if goes_on is None else self._cursors.seal(listing, str(goes_on))
        return page_answer(request, [orjson.Fragment(item.render()) for item in items], cursor)

    async def _page(
        self, batch: Batch, status: JobStatus | None, start: int, limit: int
    ) -> tuple[list[Item], int | None]:
        """The items, and where the next page starts, if there may be one."""
        candidates = bitmap.members(_candidates(batch, status), start)
        items: list[Item] = []
        for _ in range(0, MAX_LOOKED_AT, AT_ONCE):
            some = list(islice(candidates, AT_ONCE))
            for item in await self._looked_up(batch, some):
                if status in {None, item.job.status}:
                    if len(items) == limit:
                        return items, item.index
                    items.append(item)
            if len(some) < AT_ONCE:
                return items, None
        return items, next(candidates, None)

    async def _looked_up(self, batch: Batch, indexes: Sequence[int]) -> Iterator[Item]:
        """Those that are to be seen. Raises StoreUnavailable, Overloaded."""
        id_of, now = self._ids.items(batch.spec.tenant, batch.spec.id), self._clock.now()
        ids = [id_of(index) for index in indexes]
        found = zip(indexes, ids, await self._jobs.summaries(ids), strict=True)
        shown = ((index, self._known(batch, index, id, job, now)) for index, id, job in found)
        return (Item(index, job) for index, job in shown if not self._retention.over(job, now))

    def _known(self, batch: Batch, index: int, id: str, job: Job | None, now: int) -> Job:
        """The item as it is, as far as it is known."""
        spec = batch.spec.item(id, index, b"")
        if job is None:
            queued = Job.queued(spec)
            return queued.expired(at=spec.expires_at) if now >= spec.expires_at else queued
        return job if job.spec.known else job.completed(spec)


def _candidates(batch: Batch, status: JobStatus | None) -> int:
    """The set of the items that may be in the state."""
    total = batch.shown_total
    if status is None:
        return bitmap.full(total)
    return batch.items.with_status(status, total) if status.terminal else bitmap.full(total) & ~batch.items.over


def _status_of(request: web.Request) -> JobStatus | None:
    fields = Fields({name: value for name, value in request.query.items() if name == "status"}, of="this query")
    status: JobStatus | None = fields.optional("status", _status)
    fields.finish()
    return status


def _status(value: str) -> JobStatus:
    try:
        return JobStatus(value)
    except ValueError:
        raise MalformedError(f"must be one of {', '.join(JobStatus)}") from None
