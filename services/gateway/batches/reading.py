"""The endpoints of batches that exist: read one, wait for it, list them."""

from collections.abc import Mapping

import orjson
from aiohttp import web

from services.gateway.batches.states import BatchStates
from services.gateway.http.answers import job_answer
from services.gateway.http.fields import Fields, MalformedError
from services.gateway.http.headers import known_order, wait_seconds
from services.gateway.http.paging import Cursors, check_query, page_answer, page_of
from services.gateway.jobs.waiting import Waiting
from shared.clock import Clock
from shared.models.batch import BatchEntry, BatchStatus, kept_until
from shared.models.batch_public import render_batch_entry
from shared.models.job import Retention
from shared.models.key import ApiKey
from shared.storage.batch_contract import BatchFilter, BatchLists, batch_place
from shared.storage.contract import Place

MAX_LOOKED_AT = 1_000
"""Documents that one page looks at: those past their retention are not shown, and stay for a while."""


class BatchReading:
    def __init__(
        self,
        *,
        states: BatchStates,
        waiting: Waiting,
        lists: BatchLists,
        cursors: Cursors,
        retention: Retention,
        clock: Clock,
    ) -> None:
        self._states = states
        self._waiting = waiting
        self._lists = lists
        self._cursors = cursors
        self._retention = retention
        self._clock = clock

    async def get(self, request: web.Request, key: ApiKey) -> web.Response:
        """`GET /v1/batches/{id}`: the state; with `Prefer: wait`, once it is terminal or has changed."""
        issued = self._states.verify(request.match_info["id"], key.tenant)
        check_query(request, ())
        if_none_match = request.headers.get("If-None-Match")
        known = known_order(if_none_match)
        wait = wait_seconds(request.headers.getall("Prefer", ()))
        if wait is None:
            found = await self._states.read(issued, at_least=known or 0)
            return job_answer(found, if_none_match=if_none_match)
        await self._states.read(issued)  # one that is not there is not waited for
        found = await self._waiting.wait(issued, seconds=wait, known=known)
        return job_answer(found, if_none_match=if_none_match, headers={"Preference-Applied": f"wait={wait}"})

    async def page(self, request: web.Request, key: ApiKey) -> web.Response:
        """`GET /v1/batches`: the tenant's, newest first."""
        listing = f"batches of {key.tenant}"
        asked = page_of(request, self._cursors, listing, filters={"status"})
        wanted = _wanted(request.query, key.tenant)
        entries, goes_on = await self._page(wanted, _place_of(asked.after), asked.limit)
        cursor = None if goes_on is None else self._cursors.seal(listing, f"{goes_on.created_at}:{goes_on.id}")
        return page_answer(request, [orjson.Fragment(render_batch_entry(entry)) for entry in entries], cursor)

    async def _page(
        self, wanted: BatchFilter, after: Place | None, limit: int
    ) -> tuple[list[BatchEntry], Place | None]:
        """The entries, and behind which the next page begins, if there may be one."""
        shown: list[BatchEntry] = []
        looked_at = 0
        while len(shown) < limit and looked_at < MAX_LOOKED_AT:
            wanting = limit - len(shown)
            found = await self._lists.page(wanted, after=after, limit=wanting)
            now = self._clock.now()
            shown += [entry for entry in found if now < kept_until(entry.batch, self._retention)]
            if len(found) < wanting:
                return shown, None
            looked_at, after = looked_at + len(found), batch_place(found[-1])
        return shown, after


def _wanted(query: Mapping[str, str], tenant: str) -> BatchFilter:
    fields = Fields({name: value for name, value in query.items() if name == "status"}, of="this query")
    status = fields.optional("status", _status)
    fields.finish()
    return BatchFilter(tenant, status)


def _status(value: str) -> BatchStatus:
    try:
        return BatchStatus(value)
    except ValueError:
        raise MalformedError(f"must be one of {', '.join(BatchStatus)}") from None


def _place_of(spelling: str) -> Place | None:
    created_at, _, id = spelling.partition(":")
    return Place(int(created_at), id) if spelling else None
