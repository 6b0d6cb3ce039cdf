"""What happens around every request: its id, its span, its problem if it fails, its metrics, its line in the log.

One middleware, so that a route's own code is only about what it answers. `hot` answers before it, and uses its ends.
"""

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import Counter, Histogram

from services.gateway.problems import INTERNAL, METHOD_NOT_ALLOWED, TOO_LARGE, Problem, not_found, unavailable
from services.gateway.shedding import Lateness
from shared.errors import Overloaded, Unavailable
from shared.lifecycle import Runtime
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

    def middleware(self) -> Middleware:
        @web.middleware
        async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
            with self._counted():
                return await self._around(request, handler)

        return edge

    def finish(self, response: web.StreamResponse, route: str, seconds: float, request_id: str = "") -> None:
        """What every answer gets: its request's id, and a count."""
        if not response.prepared:
            response.headers["X-Request-Id"] = request_id or self._ids.next()
            response.headers["Server"] = "sluice"
            if self.draining:
                response.force_close()
        bound = self._bound.get((route, response.status))
        if bound is None:
            labels = (self._requests.labels(route, response.status), self._duration.labels(route))
            bound = self._bound[route, response.status] = labels
        bound[0].inc()
        bound[1].observe(seconds)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._in_flight += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

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
        seconds = time.perf_counter() - started
        self.finish(response, route, seconds, request_id)
        _tell(request, route, response.status, request_id, seconds)
        return response

    async def _answer(self, request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
        too_late = self._lateness.refuse(request)
        if too_late is not None:
            return too_late.response(request_id)
        try:
            return await handler(request)
        except Problem as problem:
            return problem.response(request_id)
        except web.HTTPException as refusal:
            return _problem(refusal).response(request_id)
        except (Unavailable, Overloaded):
            return unavailable("Something that this needs does not answer.").response(request_id)
        except Exception:  # noqa: BLE001 - the last resort: logged whole, answered without a word of it
            _log.exception("a request failed", extra={"request": request_id, "route": _route(request)})
            return Problem(INTERNAL, "An unexpected failure.").response(request_id)


def _tell(request: web.Request, route: str, status: int, request_id: str, seconds: float) -> None:
    level = logging.DEBUG if request.method == "GET" and status < 400 else logging.INFO
    if _log.isEnabledFor(level):
        described = {"request": request_id, "method": request.method, "route": route, "status": status}
        _log.log(level, "request", extra={**described, "seconds": round(seconds, 4)})


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
