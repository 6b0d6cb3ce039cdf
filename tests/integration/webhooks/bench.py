"""One webhooks service on the real emulators, what it reads from, and a real server that it calls."""

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from deploy.admin import topology as admin
from deploy.local.backends import Backends
from services.webhooks.app import Adapters, connected, serving
from services.webhooks.settings import Settings
from shared.config import Secret
from shared.ids import IdKeys, Ids
from shared.lifecycle import Readiness, Runtime, Service
from shared.messaging.contract import Message
from shared.messaging.topics import Names, topology
from shared.models.delivery import Delivery, DeliveryState
from shared.models.event import Event
from shared.models.webhook import (
    DEFAULT_TYPES,
    LIFETIME_MS,
    Endpoint,
    SealedSecret,
    TenantHooks,
    draw_secret,
    endpoint_place,
    tenant_place,
)
from shared.sealing import Sealer
from shared.storage.contract import Version
from shared.storage.firestore import FirestoreDeliveries, FirestoreTenantHooks
from shared.storage.webhook_contract import DeliveryFilter
from shared.telemetry.metrics import Metrics
from shared.telemetry.traces import exporting
from tests.integration.webhooks.receiver import Receiver, until_true

ID_KEYS = f"1:{'ab' * 32}"
WEBHOOK_KEYS = f"1:{'cd' * 32}"
PROJECT = "webhooks"


@dataclass
class Bench:
    """What tests do to the service, and see of it."""

    settings: Settings
    adapters: Adapters
    receiver: Receiver
    ids: Ids = field(default_factory=lambda: Ids(IdKeys.parse(ID_KEYS)))
    sealer: Sealer = field(default_factory=lambda: Sealer.parse(WEBHOOK_KEYS))
    secrets: dict[str, str] = field(default_factory=dict)

    def new_tenant(self) -> str:
        return f"t{os.urandom(6).hex()}"

    def job_id(self, tenant: str) -> str:
        return self.ids.issue("job", tenant, created_at=self.adapters.clock.now(), lifetime_ms=86_400_000).text

    def endpoint(self, tenant: str, url: str, events: Iterable[str] = DEFAULT_TYPES, **changes: Any) -> Endpoint:
        now = self.adapters.clock.now()
        id = self.ids.issue("whk", tenant, created_at=now, lifetime_ms=LIFETIME_MS).text
        secret = self.secrets[id] = draw_secret(os.urandom)
        sealed = SealedSecret(self.sealer.seal(secret.encode(), endpoint_place(id)))
        fields: dict[str, Any] = {"secrets": (sealed,), "created_at": now, "updated_at": now} | changes
        return Endpoint(id=id, tenant=tenant, url=url, events=frozenset(events), **fields)

    async def register(self, tenant: str, path: str = "/", **changes: Any) -> Endpoint:
        made = self.endpoint(tenant, changes.pop("url", self.receiver.url(path)), **changes)
        assert isinstance(await self.adapters.endpoints.create(made), Version)
        return made

    async def tenant_secret(self, tenant: str) -> str:
        secret = draw_secret(os.urandom)
        sealed = self.sealer.seal(secret.encode(), tenant_place(tenant))
        hooks = TenantHooks(tenant).with_secret(sealed, at=self.adapters.clock.now(), overlap_seconds=0)
        store = self.adapters.tenants
        assert isinstance(store, FirestoreTenantHooks)
        assert isinstance(await store.put_secrets(hooks, None), Version)
        return secret

    def event(self, tenant: str, type: str = "job.succeeded", job: str = "", **changes: Any) -> Event:
        job = job or self.job_id(tenant)
        now = self.adapters.clock.now()
        data = {
            "id": job,
            "handler": "debug.echo",
            "queue": "default",
            "status": type.partition(".")[2],
            "attempt": 1,
            "index": None,
            "labels": {},
            "created_at": now,
            "started_at": now,
            "finished_at": now,
            "error_code": None,
        } | changes.pop("data", {})
        return Event(f"{job}:{type}:1", type, "/sluice/worker", now, tenant, None, data, **changes)

    async def publish(self, *events: Event) -> None:
        topic = Names(self.settings.prefix).events
        for event in events:
            message = Message(event.encode(), event.attributes)
            await self.adapters.publisher.publish(topic, message, timeout_seconds=10)

    async def log(self, tenant: str) -> list[Delivery]:
        """The tenant's deliveries by their time."""
        deliveries = self.adapters.deliveries
        assert isinstance(deliveries, FirestoreDeliveries)
        found = await deliveries.page(DeliveryFilter(tenant), after=None, limit=5_000)
        return sorted(found, key=lambda each: (each.created_at, each.id))

    async def until_states(self, tenant: str, *states: DeliveryState, within: float = 30.0) -> list[Delivery]:
        """The tenant's deliveries once they are in these states, whatever their order."""
        found: list[Delivery] = []

        async def there() -> bool:
            found[:] = await self.log(tenant)
            return sorted(each.state for each in found) == sorted(states)

        try:
            await until_true(there, within=within)
        except TimeoutError:
            raise AssertionError(f"{[(each.state, each.attempts) for each in found]} are not {states}") from None
        return found


def settings_for(backends: Backends, **changes: Any) -> Settings:
    fields: dict[str, Any] = {
        "project": PROJECT,
        "prefix": f"w{os.urandom(6).hex()}",
        "pubsub_emulator": backends.pubsub.address,
        "firestore_emulator": backends.firestore.address,
        "id_keys": Secret(ID_KEYS),
        "webhook_keys": Secret(WEBHOOK_KEYS),
        "webhooks_allow_local": True,
        "instance": f"one-{os.urandom(4).hex()}",
        "poll_seconds": 0.1,
        "endpoint_seconds": 0.05,
    }
    return Settings(**(fields | changes))


def runtime() -> Runtime:
    traces = exporting("webhooks", "test", endpoint="", ratio=0.0)
    return Runtime(Metrics(), traces, Readiness())


async def apply_topology(settings: Settings) -> None:
    await admin.apply(topology(Names(settings.prefix), ()), project=settings.project, emulator=settings.pubsub_emulator)


@asynccontextmanager
async def service(settings: Settings) -> AsyncIterator[tuple[Service, Adapters]]:
    """A running service, drained at the end."""
    async with connected(settings) as adapters, serving(settings, runtime(), adapters) as running:
        yield running, adapters
        await running.stop_taking()
        await running.drain(3.0)


@asynccontextmanager
async def bench(backends: Backends, receiver: Receiver, **changes: Any) -> AsyncIterator[Bench]:
    settings = settings_for(backends, project=f"w{os.urandom(6).hex()}", **changes)
    async with AsyncExitStack() as stack:
        await apply_topology(settings)
        _, adapters = await stack.enter_async_context(service(settings))
        yield Bench(settings, adapters, receiver)
