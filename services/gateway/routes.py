"""Every route of the gateway, with the scope that it needs: the table to read first."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from services.gateway.auth import Authenticator
from services.gateway.jobs import Jobs
from services.gateway.posting import Posting
from services.gateway.rates import Limiter
from shared.lifecycle import Readiness
from shared.models.key import ApiKey

Endpoint = Callable[[web.Request, ApiKey], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    scope: str
    endpoint: Endpoint


def table(posting: Posting, jobs: Jobs) -> Sequence[Route]:
    return (
        Route("POST", "/v1/jobs", "jobs:write", posting.post),
        Route("GET", "/v1/jobs/{id}", "jobs:read", jobs.get),
    )


@dataclass(frozen=True, slots=True)
class Door:
    """Who comes in: those with a good key, within its rate."""

    authenticator: Authenticator
    limiter: Limiter

    def before(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            key = await self.authenticator.authenticate(request.headers.get("Authorization"), route.scope)
            await self.limiter.admit(key)
            return await route.endpoint(request, key)

        return handle


def mount(app: web.Application, routes: Sequence[Route], door: Door, readiness: Readiness) -> None:
    """Add `routes`, each behind its key, and the two that need none."""
    for route in routes:
        app.router.add_route(route.method, route.path, door.before(route))
    app.router.add_get("/livez", _alive)
    app.router.add_get("/readyz", readiness.respond)


async def _alive(_request: web.Request) -> web.Response:
    return web.json_response({"live": True}, headers={"Cache-Control": "no-store"})
