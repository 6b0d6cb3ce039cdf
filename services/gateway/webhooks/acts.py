"""What can be done with webhook endpoints besides changing them: rotate, test, enable, disable, recover; and the secret
that signs the one-off webhooks of a tenant's jobs.

A test and a recovery are events on the topic: they are accepted when the broker has acknowledged them, like jobs.
"""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from services.gateway.http.asking import nothing_else, small_object
from services.gateway.http.paging import check_query
from services.gateway.http.problems import WEBHOOK_DISABLED, Problem, unavailable
from services.gateway.webhooks.endpoints import MAX_ROUNDS, EndpointStore, answer
from services.gateway.webhooks.requests import parse_overlap, parse_recovery
from shared.clock import rfc3339
from shared.errors import Overloaded, PublishUnknown, Unavailable
from shared.messaging.contract import Message, Publisher
from shared.models.event import Event
from shared.models.key import ApiKey
from shared.models.webhook import (
    RECOVER,
    TEST,
    DisabledBy,
    Endpoint,
    TenantHooks,
    draw_secret,
    good,
    message_id,
    optional_time,
    shown_endpoint,
    tenant_place,
)
from shared.storage.contract import Conflict
from shared.storage.webhook_contract import TenantHooksStore


@dataclass(frozen=True, slots=True)
class WebhookActs:
    """topic: of events."""

    store: EndpointStore
    tenants: TenantHooksStore
    publisher: Publisher
    topic: str
    publish_seconds: float

    async def rotate(self, request: web.Request, key: ApiKey) -> web.Response:
        """`POST /v1/webhooks/{id}/rotate-secret`: a new secret; the old one signs beside it for a while."""
        overlap = parse_overlap(await small_object(request))
        stored = await self.store.find(request, key)
        secret, sealed = self.store.drawn(stored.value.id)
        now = self.store.clock.now()
        changed = await self.store.change(
            request, key, lambda found: found.with_secret(sealed, at=now, overlap_seconds=overlap)
        )
        return answer(shown_endpoint(changed, now=now, secret=secret))

    async def enable(self, request: web.Request, key: ApiKey) -> web.Response:
        """`POST /v1/webhooks/{id}/enable`: from now on. What was held stays held until it is recovered."""
        await nothing_else(request)
        now = self.store.clock.now()
        changed = await self.store.change(request, key, lambda found: found.enabled_again(at=now))
        return answer(shown_endpoint(changed, now=now))

    async def disable(self, request: web.Request, key: ApiKey) -> web.Response:
        """`POST /v1/webhooks/{id}/disable`: what is for it is held."""
        await nothing_else(request)
        now = self.store.clock.now()
        changed = await self.store.change(request, key, lambda found: found.disabled(DisabledBy.OWNER, at=now))
        return answer(shown_endpoint(changed, now=now))

    async def test(self, request: web.Request, key: ApiKey) -> web.Response:
        """`POST /v1/webhooks/{id}/test`: one `webhook.test` to it alone."""
        await nothing_else(request)
        endpoint = await self._enabled(request, key)
        event = self._event(TEST, endpoint, self.store.entropy(8).hex(), {"id": endpoint.id})
        await self._publish(event)
        message = message_id(event.id)
        delivery = self.store.ids.derive("dlv", key.tenant, endpoint.id, message).text
        body = {"message_id": message, "delivery": delivery}
        return answer(body, status=202, location=f"/v1/deliveries/{delivery}")

    async def recover(self, request: web.Request, key: ApiKey) -> web.Response:
        """`POST /v1/webhooks/{id}/recover`: what it missed since a time comes again, slower than what is live."""
        body = await small_object(request)
        endpoint, now = await self._enabled(request, key), self.store.clock.now()
        since = parse_recovery(body, now=now)
        asked = {"id": endpoint.id, "since": since, "until": now}
        await self._publish(self._event(RECOVER, endpoint, f"{since}:{now}", asked))
        return answer({"webhook": endpoint.id, "since": rfc3339(since), "until": rfc3339(now)}, status=202)

    async def secret(self, request: web.Request, key: ApiKey) -> web.Response:
        """`GET /v1/webhooks/secret`: whether there is one, and how to get one."""
        check_query(request, ())
        stored = await self.tenants.read(key.tenant)
        return answer(self._shown(TenantHooks(key.tenant) if stored is None else stored.value))

    async def rotate_tenant(self, request: web.Request, key: ApiKey) -> web.Response:
        """`POST /v1/webhooks/secret/rotate`: the first one, or a new one beside the old for a while."""
        overlap = parse_overlap(await small_object(request))
        secret = draw_secret(self.store.entropy)
        sealed = self.store.sealer.seal(secret.encode(), tenant_place(key.tenant))
        now = self.store.clock.now()
        for _ in range(MAX_ROUNDS):
            stored = await self.tenants.read(key.tenant)
            hooks = TenantHooks(key.tenant) if stored is None else stored.value
            changed = hooks.with_secret(sealed, at=now, overlap_seconds=overlap)
            held = None if stored is None else stored.version
            if not isinstance(await self.tenants.put_secrets(changed, held), Conflict):
                return answer({**self._shown(changed), "secret": secret})
        raise unavailable("Others are changing the secret.")

    def _shown(self, hooks: TenantHooks) -> dict[str, Any]:
        until = [each.until for each in good(hooks.secrets, self.store.clock.now()) if each.until is not None]
        return {
            "exists": bool(hooks.secrets),
            "created_at": optional_time(hooks.secret_created_at),
            "previous_secret_until": optional_time(max(until, default=None)),
            "urls": {"rotate": "/v1/webhooks/secret/rotate"},
        }

    async def _enabled(self, request: web.Request, key: ApiKey) -> Endpoint:
        stored = await self.store.find(request, key)
        if not stored.value.enabled:
            raise Problem(WEBHOOK_DISABLED, "The webhook is disabled; enable it first.")
        return stored.value

    def _event(self, type: str, endpoint: Endpoint, nonce: str, data: dict[str, Any]) -> Event:
        now = self.store.clock.now()
        return Event(f"{endpoint.id}:{type}:{nonce}", type, "/sluice/gateway", now, endpoint.tenant, None, data)

    async def _publish(self, event: Event) -> None:
        message = Message(event.encode(), event.attributes)
        try:
            await self.publisher.publish(self.topic, message, timeout_seconds=self.publish_seconds)
        except PublishUnknown:
            raise unavailable("It is not known whether this was accepted.", accepted="unknown") from None
        except (Unavailable, Overloaded):
            raise unavailable("This was not accepted.", accepted=False) from None
