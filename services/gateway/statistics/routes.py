"""`GET /v1/stats`: what was done, by handler and minute or hour. Scope `operator`; `system` sees all tenants' together.

Aggregators write the counts in shards; here they are added up. The counts are approximate: what a crash makes come
again is counted again, and the newest seconds are not there yet. Quantiles are within RELATIVE_ERROR.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import web

from services.gateway.access.tenants import seen_tenant
from services.gateway.http.fields import Fields, MalformedError, text, time
from services.gateway.http.paging import check_query
from services.gateway.http.problems import OUT_OF_RANGE, Fault, Problem
from shared.clock import MILLISECONDS, Clock, rfc3339
from shared.models.key import ApiKey
from shared.models.statistics import EVERYONE, FAILED, RELATIVE_ERROR, Sketch, Step, Tally, quantile
from shared.storage.statistics import ShardPlace, StatisticsReader

QUERY: Final = frozenset({"handler", "from", "to", "step", "tenant"})
HOUR_MS: Final = Step.HOUR.milliseconds
MINUTES_UP_TO_MS: Final = 6 * HOUR_MS
"""Spans up to this are shown by the minute, unless the request says otherwise."""
PAGE: Final = 64
MOST_DOCUMENTS: Final = 20_000
MOST_ROWS: Final = 5_000
QUANTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))

Row = tuple[int, Step, str]
"""When a span began, how long it is, and whose counts these are."""


@dataclass(frozen=True, slots=True)
class Asked:
    """start, end: milliseconds since the epoch; whatever began in between is shown."""

    handler: str | None
    start: int
    end: int
    step: Step


@dataclass(frozen=True, slots=True)
class StatisticsRoutes:
    statistics: StatisticsReader
    clock: Clock

    async def get(self, request: web.Request, key: ApiKey) -> web.Response:
        """The endpoint."""
        check_query(request, QUERY)
        tenant = seen_tenant(request.query.get("tenant"), key)
        asked = wanted(request.query, self.clock.now())
        rows = await self._rows(tenant or EVERYONE, asked)
        body = {
            "from": rfc3339(asked.start),
            "to": rfc3339(asked.end),
            "step": asked.step,
            "tenant": tenant,
            "approximate": True,
            "relative_error": RELATIVE_ERROR,
            "data": [_shown(row, rows[row]) for row in sorted(rows)],
        }
        headers = {"Cache-Control": "private, no-cache"}
        return web.Response(body=orjson.dumps(body), content_type="application/json", headers=headers)

    async def _rows(self, tenant: str, asked: Asked) -> dict[Row, Tally]:
        """Raises Problem 422 where that is more than one answer holds, StoreUnavailable, Overloaded."""
        rows: dict[Row, Tally] = {}
        after: ShardPlace | None = None
        for _ in range(0, MOST_DOCUMENTS, PAGE):
            page = await self.statistics.page(tenant, start=asked.start, end=asked.end, after=after, limit=PAGE)
            for shard in page:
                step = max(asked.step, shard.step, key=lambda each: each.milliseconds)
                for handler, tally in shard.tallies.items():
                    if asked.handler in {None, handler}:
                        row = (step.start(shard.at), step, handler)
                        rows[row] = rows.get(row, Tally()) + tally
            if len(rows) > MOST_ROWS:
                raise _too_much()
            if len(page) < PAGE:
                return rows
            after = ShardPlace.of(page[-1])
        raise _too_much()


def wanted(query: Mapping[str, str], now: int) -> Asked:
    """What the query asks for; the last hour, if it does not say. Raises Problem: 400 for what is malformed."""
    fields = Fields({name: value for name, value in query.items() if name != "tenant"}, of="this query")
    handler = fields.optional("handler", text())
    end = fields.optional("to", time)
    start = fields.optional("from", time)
    step = fields.optional("step", _step)
    end = now if end is None else end
    start = end - HOUR_MS if start is None else start
    if start >= end:
        fields.malformed("from", "must be before `to`")
    fields.finish()
    by_itself = Step.MINUTE if end - start <= MINUTES_UP_TO_MS else Step.HOUR
    step = step or by_itself
    return Asked(handler, step.start(start), end, step)


def _step(value: Any) -> Step:
    try:
        return Step(value)
    except ValueError:
        raise MalformedError("must be `minute` or `hour`") from None


def _too_much() -> Problem:
    fault = Fault("/from", f"ask for less time, for one handler, or by the hour: at most {MOST_ROWS} rows are answered")
    return Problem(OUT_OF_RANGE, "The request is beyond a limit.", errors=[fault])


def _shown(row: Row, tally: Tally) -> dict[str, Any]:
    at, step, handler = row
    counts = tally.counts
    return {
        "at": rfc3339(at),
        "step": step,
        "handler": handler,
        "submitted": counts.get("submitted", 0),
        "cache_hits": counts.get("cache_hits", 0),
        "succeeded": counts.get("succeeded", 0),
        "failed": {name.removeprefix(FAILED): count for name, count in counts.items() if name.startswith(FAILED)},
        "canceled": counts.get("canceled", 0),
        "expired": counts.get("expired", 0),
        "retries": counts.get("retries", 0),
        "queue_seconds": _quantiles(tally.queue_time),
        "run_seconds": _quantiles(tally.run_time),
    }


def _quantiles(sketch: Sketch) -> dict[str, Any]:
    """Seconds; null of nothing."""
    found = {name: quantile(sketch, share) for name, share in QUANTILES}
    return {
        "count": sum(sketch.values()),
        **{name: None if each is None else round(each / MILLISECONDS, 3) for name, each in found.items()},
    }
