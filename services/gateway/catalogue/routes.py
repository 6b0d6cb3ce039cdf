"""The endpoints of handlers: what can be asked for, with its schemas and limits. For any key.

What is shown is what workers announced: `handlers` follows it, and checks inputs by it.
"""

from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from services.gateway.catalogue.handlers import Handlers
from services.gateway.http.paging import Cursors, check_query, page_answer, page_of
from services.gateway.statistics.run_times import RunTime, RunTimes
from shared.models.handler import HandlerEntry
from shared.models.key import ApiKey

LISTING = "handlers"


@dataclass(frozen=True, slots=True)
class CatalogueRoutes:
    handlers: Handlers
    cursors: Cursors
    run_times: RunTimes

    async def page(self, request: web.Request, _key: ApiKey) -> web.Response:
        """`GET /v1/handlers`: by name."""
        page = page_of(request, self.cursors, LISTING)
        behind = [entry for entry in await self.handlers.entries() if entry.name > page.after]
        data = behind[: page.limit]
        more = self.cursors.seal(LISTING, data[-1].name) if len(behind) > page.limit else None
        return page_answer(request, [shown(entry, self.run_times.of(entry.name)) for entry in data], more)

    async def get(self, request: web.Request, _key: ApiKey) -> web.Response:
        """`GET /v1/handlers/{name}`."""
        check_query(request, ())
        handler = await self.handlers.find(request.match_info["name"])
        return web.Response(
            body=orjson.dumps(shown(handler.entry, self.run_times.of(handler.entry.name))),
            content_type="application/json",
            headers={"Cache-Control": "private, no-cache"},
        )


def shown(entry: HandlerEntry, run_time: RunTime | None) -> dict[str, Any]:
    """The handler as the API shows it. run_time: of its recent runs, if there were any."""
    return {
        "name": entry.name,
        "description": entry.description,
        "queue": entry.queue or None,
        "version": entry.version,
        "timeout_seconds": entry.timeout_seconds,
        "max_attempts": entry.max_attempts,
        "cache_for_seconds": entry.cache_for_seconds,
        "run_seconds_p50": run_time and run_time.p50,
        "run_seconds_p95": run_time and run_time.p95,
        "input_schema": entry.input_schema,
        "output_schema": entry.output_schema,
        "reduces": entry.reduces,
    }
