"""Every route of the gateway, with the scope that it needs: the table to read first."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from services.gateway.auth import Authenticator
from services.gateway.jobs import Jobs
from shared.lifecycle import Readiness
from shared.models.key import ApiKey

Endpoint = Callable[[web.Request, ApiKey], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    scope: str
    endpoint: Endpoint


def table(jobs: Jobs) -> Sequence[Route]:
    return (
        Route("POST", "/v1/jobs", "jobs:write", jobs.post),
        Route("GET", "/v1/jobs/{id}", "jobs:read", jobs.get),
    )


def mount(app: web.Application, routes: Sequence[Route], authenticator: Authenticator, readiness: Readiness) -> None:
    """Add `routes`, each behind its key, and the two that need none."""
    for route in routes:
        app.router.add_route(route.method, route.path, _authenticated(route, authenticator))
    app.router.add_get("/livez", _alive)
    app.router.add_get("/readyz", readiness.respond)


def _authenticated(
    route: Route, authenticator: Authenticator
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        key = await authenticator.authenticate(request.headers.get("Authorization"), route.scope)
        return await route.endpoint(request, key)

    return handle


async def _alive(_request: web.Request) -> web.Response:
    return web.json_response({"live": True}, headers={"Cache-Control": "no-store"})
