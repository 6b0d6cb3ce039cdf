"""`GET /v1/jobs/{id}/explain`: why a job is where it is, from the store, for people and for tools.

What is said of a job with a document is in `shared.storage.explanation`; here is the rest, for which only ids and Redis
can be asked.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from services.gateway.handlers import Handlers
from services.gateway.paging import check_query
from services.gateway.status import Statuses
from shared.cache.contract import Snapshots
from shared.clock import Clock
from shared.errors import CacheUnavailable, Overloaded
from shared.ids import IssuedId
from shared.models.job import JobStatus
from shared.models.key import ApiKey
from shared.storage.explanation import facts, facts_of_unclaimed


class Explains:
    def __init__(self, *, statuses: Statuses, cache: Snapshots, handlers: Handlers, clock: Clock) -> None:
        self._statuses = statuses
        self._cache = cache
        self._handlers = handlers
        self._clock = clock

    async def get(self, request: web.Request, key: ApiKey) -> web.Response:
        """The endpoint."""
        issued = self._statuses.verify(request.match_info["id"], key.tenant)
        check_query(request, ())
        stored = await self._statuses.found(issued)
        if stored is None:
            shown = await self._unclaimed(issued)
        else:
            shown = facts(stored, self._clock.now())
        return web.Response(
            body=orjson.dumps(shown), content_type="application/json", headers={"Cache-Control": "private, no-cache"}
        )

    async def _unclaimed(self, issued: IssuedId) -> Mapping[str, Any]:
        """Of a job without a document, whose name of the handler only Redis may still know."""
        state = orjson.loads(self._statuses.unclaimed(issued).body)
        state["handler"] = await self._handler(issued)
        announced = not state["handler"] or self._handlers.announced(state["handler"])
        return facts_of_unclaimed(issued, JobStatus(state["status"]), state["handler"], announced=announced)

    async def _handler(self, issued: IssuedId) -> str | None:
        try:
            kept = await self._cache.fetch(issued.text)
        except (CacheUnavailable, Overloaded):
            return None
        if kept is None or kept.deleted:
            return None
        handler: str | None = orjson.loads(kept.body)["handler"]
        return handler
