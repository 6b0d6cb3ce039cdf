"""Every route of the gateway, with the scope that it needs: the table to read first."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from services.gateway.access.auth import Authenticator
from services.gateway.access.rates import Limiter
from services.gateway.batches.cancel import BatchCancels
from services.gateway.batches.delete import BatchDeletes
from services.gateway.batches.items import BatchItems
from services.gateway.batches.outputs import BatchOutputs
from services.gateway.batches.posting import BatchPosting
from services.gateway.batches.reading import BatchReading
from services.gateway.catalogue.routes import CatalogueRoutes
from services.gateway.jobs.cancel import Cancels
from services.gateway.jobs.delete import Deletes
from services.gateway.jobs.events import Events
from services.gateway.jobs.explain import Explains
from services.gateway.jobs.listing import Lists
from services.gateway.jobs.posting import Posting
from services.gateway.jobs.reading import Jobs
from services.gateway.jobs.replay import Replays
from services.gateway.openapi.served import Description
from services.gateway.operators.dead_letters import DeadLetterRoutes
from services.gateway.operators.dead_replay import DeadReplays
from services.gateway.operators.keys import KeyRoutes
from services.gateway.operators.queues import QueueRoutes
from services.gateway.pages.docs import Docs
from services.gateway.pages.problem_pages import ProblemPages
from services.gateway.statistics.routes import StatisticsRoutes
from services.gateway.webhooks.acts import WebhookActs
from services.gateway.webhooks.deliveries import DeliveryRoutes
from services.gateway.webhooks.endpoints import WebhookRoutes
from shared.lifecycle import Readiness
from shared.models.key import ApiKey

Endpoint = Callable[[web.Request, ApiKey], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    scope: str
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class JobEndpoints:
    """Whose methods answer for jobs."""

    posting: Posting
    lists: Lists
    jobs: Jobs
    deletes: Deletes
    cancels: Cancels
    replays: Replays
    explains: Explains
    events: Events


def table(job: JobEndpoints) -> Sequence[Route]:
    return (
        Route("POST", "/v1/jobs", "jobs:write", job.posting.post),
        Route("GET", "/v1/jobs", "jobs:read", job.lists.get),
        Route("GET", "/v1/jobs/{id}", "jobs:read", job.jobs.get),
        Route("DELETE", "/v1/jobs/{id}", "jobs:write", job.deletes.delete),
        Route("POST", "/v1/jobs/{id}/cancel", "jobs:write", job.cancels.post),
        Route("POST", "/v1/jobs/{id}/replay", "jobs:write", job.replays.post),
        Route("GET", "/v1/jobs/{id}/explain", "jobs:read", job.explains.get),
        Route("GET", "/v1/jobs/{id}/events", "jobs:read", job.events.get),
    )


@dataclass(frozen=True, slots=True)
class BatchEndpoints:
    """Whose methods answer for batches."""

    posting: BatchPosting
    reading: BatchReading
    items: BatchItems
    outputs: BatchOutputs
    cancels: BatchCancels
    deletes: BatchDeletes


def batches_table(batch: BatchEndpoints) -> Sequence[Route]:
    return (
        Route("POST", "/v1/batches", "jobs:write", batch.posting.post),
        Route("GET", "/v1/batches", "jobs:read", batch.reading.page),
        Route("GET", "/v1/batches/{id}", "jobs:read", batch.reading.get),
        Route("DELETE", "/v1/batches/{id}", "jobs:write", batch.deletes.delete),
        Route("GET", "/v1/batches/{id}/jobs", "jobs:read", batch.items.page),
        Route("GET", "/v1/batches/{id}/outputs", "jobs:read", batch.outputs.get),
        Route("POST", "/v1/batches/{id}/cancel", "jobs:write", batch.cancels.post),
    )


@dataclass(frozen=True, slots=True)
class OperatorEndpoints:
    """Whose methods answer for what jobs are run by. The scope "" is every good key's."""

    catalogue: CatalogueRoutes
    keys: KeyRoutes
    queues: QueueRoutes
    dead_letters: DeadLetterRoutes
    dead_replays: DeadReplays
    statistics: StatisticsRoutes


def operators_table(operators: OperatorEndpoints) -> Sequence[Route]:
    return (
        Route("GET", "/v1/handlers", "", operators.catalogue.page),
        Route("GET", "/v1/handlers/{name}", "", operators.catalogue.get),
        Route("POST", "/v1/keys", "operator", operators.keys.create),
        Route("GET", "/v1/keys", "operator", operators.keys.page),
        Route("GET", "/v1/keys/{id}", "operator", operators.keys.get),
        Route("DELETE", "/v1/keys/{id}", "operator", operators.keys.revoke),
        Route("POST", "/v1/keys/{id}/rotate", "operator", operators.keys.rotate),
        Route("GET", "/v1/dead-letters", "operator", operators.dead_letters.page),
        Route("GET", "/v1/dead-letters/groups", "operator", operators.dead_letters.groups),
        Route("POST", "/v1/dead-letters/replay", "operator", operators.dead_replays.post),
        Route("GET", "/v1/stats", "operator", operators.statistics.get),
        Route("GET", "/v1/queues", "system", operators.queues.all),
        Route("POST", "/v1/queues/{name}/pause", "system", operators.queues.pause),
        Route("POST", "/v1/queues/{name}/resume", "system", operators.queues.resume),
    )


@dataclass(frozen=True, slots=True)
class WebhookEndpoints:
    """Whose methods answer for webhooks."""

    webhooks: WebhookRoutes
    acts: WebhookActs
    deliveries: DeliveryRoutes


def webhooks_table(hook: WebhookEndpoints) -> Sequence[Route]:
    return (
        Route("GET", "/v1/webhooks/secret", "webhooks", hook.acts.secret),
        Route("POST", "/v1/webhooks/secret/rotate", "webhooks", hook.acts.rotate_tenant),
        Route("POST", "/v1/webhooks", "webhooks", hook.webhooks.create),
        Route("GET", "/v1/webhooks", "webhooks", hook.webhooks.page),
        Route("GET", "/v1/webhooks/{id}", "webhooks", hook.webhooks.get),
        Route("PATCH", "/v1/webhooks/{id}", "webhooks", hook.webhooks.patch),
        Route("DELETE", "/v1/webhooks/{id}", "webhooks", hook.webhooks.delete),
        Route("POST", "/v1/webhooks/{id}/rotate-secret", "webhooks", hook.acts.rotate),
        Route("POST", "/v1/webhooks/{id}/test", "webhooks", hook.acts.test),
        Route("POST", "/v1/webhooks/{id}/enable", "webhooks", hook.acts.enable),
        Route("POST", "/v1/webhooks/{id}/disable", "webhooks", hook.acts.disable),
        Route("POST", "/v1/webhooks/{id}/recover", "webhooks", hook.acts.recover),
        Route("GET", "/v1/webhooks/{id}/deliveries", "webhooks", hook.deliveries.of_endpoint),
        Route("GET", "/v1/deliveries", "webhooks", hook.deliveries.about),
        Route("GET", "/v1/deliveries/{id}", "webhooks", hook.deliveries.get),
        Route("POST", "/v1/deliveries/{id}/redeliver", "webhooks", hook.deliveries.redeliver),
    )


@dataclass(frozen=True, slots=True)
class OpenRoute:
    """One that needs no key."""

    path: str
    endpoint: Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class OpenEndpoints:
    """Whose methods answer whoever asks."""

    readiness: Readiness
    description: Description
    docs: Docs
    problems: ProblemPages


def open_table(about: OpenEndpoints) -> Sequence[OpenRoute]:
    return (
        OpenRoute("/livez", _alive),
        OpenRoute("/readyz", about.readiness.respond),
        OpenRoute("/openapi.json", about.description.get),
        OpenRoute("/docs", about.docs.page),
        OpenRoute("/docs/{asset}", about.docs.asset),
        OpenRoute("/problems/{slug}", about.problems.get),
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


def mount(app: web.Application, routes: Sequence[Route], open_routes: Sequence[OpenRoute], door: Door) -> None:
    """Add `routes`, each behind its key, and those that need none."""
    for route in routes:
        app.router.add_route(route.method, route.path, door.before(route))
    for each in open_routes:
        app.router.add_route("GET", each.path, each.endpoint)


async def _alive(_request: web.Request) -> web.Response:
    return web.json_response({"live": True}, headers={"Cache-Control": "no-store"})
