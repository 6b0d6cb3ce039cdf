"""The endpoints of webhook endpoints: a tenant makes, lists, reads, changes and deletes its own.

An endpoint's secret and the values of its custom headers are sealed before they are stored. The secret is shown in the
answer that makes it, and never again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import orjson
from aiohttp import web

from services.gateway.http.asking import nothing_else, small_object
from services.gateway.http.paging import Cursors, check_query, page_answer, page_of
from services.gateway.http.problems import OUT_OF_RANGE, Problem, not_found, unavailable
from services.gateway.jobs.hooks import check_url
from services.gateway.webhooks.requests import EndpointRequest, parse_change, parse_endpoint
from shared.clock import Clock
from shared.egress import Rules
from shared.ids import Ids
from shared.models.key import ApiKey
from shared.models.webhook import (
    LIFETIME_MS,
    MAX_ENDPOINTS,
    Endpoint,
    SealedSecret,
    draw_secret,
    endpoint_place,
    shown_endpoint,
)
from shared.sealing import Sealer
from shared.storage.contract import Conflict, Stored
from shared.storage.webhook_contract import Endpoints

MAX_ENDPOINT_BYTES = 32 * 1024
MAX_ROUNDS = 5
"""Of reading and writing again, while others change the same endpoint."""

Change = Callable[[Endpoint], Endpoint]


@dataclass(frozen=True, slots=True)
class EndpointStore:
    """Endpoints as their owner may reach them. entropy: returns that many random bytes."""

    endpoints: Endpoints
    ids: Ids
    sealer: Sealer
    rules: Rules
    clock: Clock
    entropy: Callable[[int], bytes]

    async def find(self, request: web.Request, key: ApiKey) -> Stored[Endpoint]:
        """The endpoint of the path. Raises Problem 404 if there is none, or none of that tenant."""
        id = request.match_info["id"]
        stored = await self.endpoints.read(id) if self.ids.verify("whk", key.tenant, id) else None
        if stored is None or stored.value.tenant != key.tenant:
            raise not_found()
        return stored

    async def change(self, request: web.Request, key: ApiKey, change: Change) -> Endpoint:
        """Write what `change` makes of the endpoint, and of what others make of it meanwhile."""
        for _ in range(MAX_ROUNDS):
            stored = await self.find(request, key)
            wanted = change(stored.value)
            if wanted == stored.value:
                return wanted
            if not isinstance(await self.endpoints.replace(wanted, stored.version), Conflict):
                return wanted
        raise unavailable("Others are changing the webhook.")

    def drawn(self, id: str) -> tuple[str, bytes]:
        """A new secret, and the same sealed."""
        secret = draw_secret(self.entropy)
        return secret, self.sealer.seal(secret.encode(), endpoint_place(id))


@dataclass(frozen=True, slots=True)
class WebhookRoutes:
    store: EndpointStore
    cursors: Cursors

    async def create(self, request: web.Request, key: ApiKey) -> web.Response:
        """`POST /v1/webhooks`."""
        asked = parse_endpoint(await small_object(request, max_bytes=MAX_ENDPOINT_BYTES))
        assert asked.url is not None
        check_url(self.store.rules, asked.url)
        there = await self.store.endpoints.of_tenant(key.tenant, limit=MAX_ENDPOINTS)
        if len(there) >= MAX_ENDPOINTS:
            raise Problem(OUT_OF_RANGE, f"A tenant has at most {MAX_ENDPOINTS} webhooks.")
        now = self.store.clock.now()
        id = self.store.ids.issue("whk", key.tenant, created_at=now, lifetime_ms=LIFETIME_MS).text
        secret, sealed = self.store.drawn(id)
        bare = Endpoint(id, key.tenant, asked.url, frozenset(), (SealedSecret(sealed),), now, now)
        made = self._changed(bare, asked, now)
        if isinstance(await self.store.endpoints.create(made), Conflict):
            raise unavailable("The webhook was not made.")  # of 72 random bits, or a write that we took for lost
        return answer(shown_endpoint(made, now=now, secret=secret), status=201, location=f"/v1/webhooks/{id}")

    async def page(self, request: web.Request, key: ApiKey) -> web.Response:
        """`GET /v1/webhooks`."""
        listing, now = f"webhooks of {key.tenant}", self.store.clock.now()
        page = page_of(request, self.cursors, listing)
        found = await self.store.endpoints.page(key.tenant, after=page.after, limit=page.limit + 1)
        data = found[: page.limit]
        more = self.cursors.seal(listing, data[-1].id) if len(found) > page.limit else None
        return page_answer(request, [shown_endpoint(each, now=now) for each in data], more)

    async def get(self, request: web.Request, key: ApiKey) -> web.Response:
        """`GET /v1/webhooks/{id}`."""
        check_query(request, ())
        stored = await self.store.find(request, key)
        return answer(shown_endpoint(stored.value, now=self.store.clock.now()))

    async def patch(self, request: web.Request, key: ApiKey) -> web.Response:
        """`PATCH /v1/webhooks/{id}`: what is named is replaced, the rest stays."""
        asked = parse_change(await small_object(request, max_bytes=MAX_ENDPOINT_BYTES))
        if asked.url is not None:
            check_url(self.store.rules, asked.url)
        now = self.store.clock.now()
        changed = await self.store.change(request, key, lambda found: self._changed(found, asked, now))
        return answer(shown_endpoint(changed, now=now))

    async def delete(self, request: web.Request, key: ApiKey) -> web.Response:
        """`DELETE /v1/webhooks/{id}`: nothing goes there any more; what was waiting is canceled."""
        await nothing_else(request)
        for _ in range(MAX_ROUNDS):
            stored = await self.store.find(request, key)
            if not isinstance(await self.store.endpoints.delete(stored.value, stored.version), Conflict):
                return web.Response(status=204)
        raise unavailable("Others are changing the webhook.")

    def _changed(self, endpoint: Endpoint, asked: EndpointRequest, now: int) -> Endpoint:
        changed = replace(endpoint, updated_at=now)
        if asked.url is not None:
            changed = replace(changed, url=asked.url)
        if asked.events is not None:
            changed = replace(changed, events=asked.events)
        if asked.labels is not None:
            changed = replace(changed, labels=asked.labels)
        if asked.description is not None:
            changed = replace(changed, description=asked.description)
        if asked.headers is not None:
            sealed = self.store.sealer.seal(orjson.dumps(dict(asked.headers)), endpoint_place(endpoint.id))
            changed = replace(
                changed, headers=frozenset(asked.headers), sealed_headers=sealed if asked.headers else None
            )
        return changed


def answer(body: object, *, status: int = 200, location: str = "") -> web.Response:
    """JSON that nobody keeps: it may have a secret in it."""
    headers = {"Cache-Control": "no-store", **({"Location": location} if location else {})}
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json", headers=headers)
