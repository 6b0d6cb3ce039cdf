"""`GET /v1/jobs/{id}/explain`: why a job is where it is, from the store, for people and for tools.

What is said of a job with a document is in `shared.storage.explanation`; here is the rest, for which only ids, Redis
and the state of its queue can be asked.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from services.gateway.catalogue.handlers import Handlers
from services.gateway.http.paging import check_query
from services.gateway.jobs.queue_state import QueueStates
from services.gateway.jobs.status import Statuses
from services.gateway.statistics.run_times import RunTimes
from shared.cache.contract import Snapshots
from shared.clock import Clock
from shared.errors import CacheUnavailable, Overloaded
from shared.ids import IssuedId
from shared.models.job import JobStatus, Lane
from shared.models.key import ApiKey
from shared.storage.explanation import WAITING, explain, facts, facts_of_unclaimed


class Explains:
    def __init__(
        self,
        *,
        statuses: Statuses,
        cache: Snapshots,
        handlers: Handlers,
        queues: QueueStates,
        run_times: RunTimes,
        clock: Clock,
    ) -> None:
        self._statuses = statuses
        self._cache = cache
        self._handlers = handlers
        self._queues = queues
        self._run_times = run_times
        self._clock = clock

    async def get(self, request: web.Request, key: ApiKey) -> web.Response:
        """The endpoint."""
        issued = self._statuses.verify(request.match_info["id"], key.tenant)
        check_query(request, ())
        stored = await self._statuses.found(issued)
        if stored is None:
            shown: Mapping[str, Any] = await self._unclaimed(issued)
        else:
            now, spec = self._clock.now(), stored.value.spec
            waits = explain(stored, now).reason in WAITING and spec.queue
            shown = facts(stored, now, await self._queues.of(spec.queue, spec.lane) if waits else None)
        run_time = self._run_times.of(shown["handler"])
        shown = {
            **shown,
            "run_seconds_p50": run_time and run_time.p50,
            "run_seconds_p95": run_time and run_time.p95,
        }
        return web.Response(
            body=orjson.dumps(shown), content_type="application/json", headers={"Cache-Control": "private, no-cache"}
        )

    async def _unclaimed(self, issued: IssuedId) -> Mapping[str, Any]:
        """Of a job without a document, whose name of the handler only Redis may still know."""
        state = orjson.loads(self._statuses.unclaimed(issued).body)
        status = JobStatus(state["status"])
        handler, lane = await self._handler(issued)
        announced = not handler or self._handlers.announced(handler)
        waits = handler and announced and status is not JobStatus.EXPIRED
        queue = await self._queues.of_handler(handler, lane) if handler and waits else None
        return facts_of_unclaimed(issued, status, handler, announced=announced, queue=queue)

    async def _handler(self, issued: IssuedId) -> tuple[str | None, Lane]:
        """Its name, if it is known, and the lane that its messages take."""
        try:
            kept = await self._cache.fetch(issued.text)
        except (CacheUnavailable, Overloaded):
            kept = None
        if kept is None or kept.deleted:
            return None, Lane.INTERACTIVE
        job = orjson.loads(kept.body)
        return job["handler"], Lane.INTERACTIVE if job["batch"] is None else Lane.BULK
