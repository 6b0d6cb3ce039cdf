"""The hottest request, answered first: a finished job that this process holds, for a key that it knows.

Stands before the application (routing and middleware cost more than the answer) and steps aside unless everything is at
hand: then nothing is awaited and nothing is parsed. What it answers is the same to the byte as what `jobs.get` would.
"""

import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from services.gateway.answers import job_answer
from services.gateway.auth import Authenticator
from services.gateway.edge import Edge
from services.gateway.rates import Limiter
from services.gateway.status import Statuses

PREFIX = "/v1/jobs/"
ROUTE = "/v1/jobs/{id}"

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class HotLane:
    def __init__(self, authenticator: Authenticator, limiter: Limiter, statuses: Statuses, edge: Edge) -> None:
        self._authenticator = authenticator
        self._limiter = limiter
        self._statuses = statuses
        self._edge = edge

    def before(self, application: Handler) -> Handler:
        """`application`, with the hot lane in front of it."""

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            return self._at_once(request) or await application(request)

        return handle

    def _at_once(self, request: web.BaseRequest) -> web.Response | None:
        started = time.perf_counter()
        path, headers = request.raw_path, request.headers
        if request.method != "GET" or not path.startswith(PREFIX) or "Prefer" in headers or "traceparent" in headers:
            return None
        key = self._authenticator.known(headers.get("Authorization"))
        if key is None or "jobs:read" not in key.scopes or self._edge.draining:
            return None
        held = self._statuses.at_hand(path[len(PREFIX) :], key.tenant)
        if held is None or not self._limiter.take(key):
            return None
        response = job_answer(held, if_none_match=headers.get("If-None-Match"))
        self._edge.finish(response, ROUTE, time.perf_counter() - started)
        return response
