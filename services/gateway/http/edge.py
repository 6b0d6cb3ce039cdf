"""What happens around every request: its id, its span, its problem if it fails, its metrics, its line in the log.

One middleware, so that a route's own code is only about what it answers. `express` answers before it, by its parts.
"""

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import Counter, Histogram

from services.gateway.http.problems import INTERNAL, METHOD_NOT_ALLOWED, TOO_LARGE, Problem, not_found, unavailable
from services.gateway.http.shedding import Lateness
from shared.errors import Overloaded, Unavailable
from shared.lifecycle import Runtime
from shared.telemetry.logs import tell
from shared.telemetry.metrics import HTTP_DURATION, HTTP_REQUESTS
from shared.telemetry.traces import Traces, Trail

REQUEST_ID = web.RequestKey("request_id", str)
TRAIL = web.RequestKey("trail", Trail)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger("sluice.gateway")


class RequestIds:
    """Unique among all gateways: this process's random start, then a count."""

    def __init__(self) -> None:
        self._start = os.urandom(8).hex()
        self._count = itertools.count()

    def next(self) -> str:
        return f"req_{self._start}{next(self._count):x}"


class Edge:
    def __init__(self, runtime: Runtime, request_ids: RequestIds, lateness: Lateness) -> None:
        self._traces: Traces = runtime.traces
        self._ids = request_ids
        self._lateness = lateness
        self._requests: Counter = runtime.metrics.counter(HTTP_REQUESTS)
        self._duration: Histogram = runtime.metrics.histogram(HTTP_DURATION)
        self._bound: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = False
        """Close each connection after its answer."""

    async def idle(self) -> None:
        """Return when no request is being answered."""
        await self._idle.wait()

    def next_id(self) -> str:
        """A request's id."""
        return self._ids.next()

    def began(self) -> None:
        """A request is being answered; `ended` follows, whatever comes."""
        self._in_flight += 1
        self._idle.clear()

    def ended(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

    def over(self, method: str, route: str, status: int, request_id: str, seconds: float) -> None:
        """A request was answered: count it, and tell of it."""
        bound = self._bound.get((route, status))
        if bound is None:
            labels = (self._requests.labels(route, status), self._duration.labels(route))
            bound = self._bound[route, status] = labels
        bound[0].inc()
        bound[1].observe(seconds)
        if method != "GET" or status >= 400:
            described = {"request": request_id, "method": method, "route": route, "status": status}
            tell(_log, "request", {**described, "seconds": round(seconds, 4)})

    def refusal(self, fault: Exception, request_id: str, route: str) -> Problem:
        """What to answer instead, for whatever went wrong."""
        if isinstance(fault, Problem):
            return fault
        if isinstance(fault, web.HTTPException):
            return _problem(fault)
        if isinstance(fault, Unavailable | Overloaded):
            return unavailable("Something that this needs does not answer.")
        _log.error("a request failed", exc_info=fault, extra={"request": request_id, "route": route})
        return Problem(INTERNAL, "An unexpected failure.")

    def middleware(self) -> Middleware:
        @web.middleware
        async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.began()
            try:
                return await self._around(request, handler)
            finally:
                self.ended()

        return edge

    async def _around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        started, route = time.perf_counter(), _route(request)
        request_id = request[REQUEST_ID] = self._ids.next()
        with self._traces.request(
            f"{request.method} {route}",
            request.headers.get("traceparent"),
            {"http.request.method": request.method, "http.route": route},
        ) as trail:
            request[TRAIL] = trail
            response = await self._answer(request, handler, request_id)
            trail.note("http.response.status_code", response.status)
            self.over(request.method, route, response.status, request_id, time.perf_counter() - started)
        if not response.prepared:
            response.headers["X-Request-Id"] = request_id
            response.headers["Server"] = "sluice"
            if self.draining:
                response.force_close()
        return response

    async def _answer(self, request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
        too_late = self._lateness.refuse(request)
        if too_late is not None:
            return too_late.response(request_id)
        try:
            return await handler(request)
        except Exception as fault:  # noqa: BLE001 - `refusal` logs what is no refusal
            return self.refusal(fault, request_id, _route(request)).response(request_id)


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource else "none"


def _problem(refusal: web.HTTPException) -> Problem:
    """aiohttp's own refusals, in our form."""
    if isinstance(refusal, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(refusal.allowed_methods))
        return Problem(METHOD_NOT_ALLOWED, f"Allowed: {allowed}.", headers={"Allow": allowed})
    if isinstance(refusal, web.HTTPRequestEntityTooLarge):
        return Problem(TOO_LARGE, "The request is too large.")
    return not_found()
