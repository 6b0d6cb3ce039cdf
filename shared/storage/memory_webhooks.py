"""The contract of storage for webhooks in memory: see `memory`, whose database these repositories share."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from shared.models.delivery import RECOVERABLE, Delivery
from shared.models.webhook import Endpoint, Health, TenantHooks
from shared.storage.contract import Stored, Version, WriteResult
from shared.storage.memory import MemoryDatabase
from shared.storage.memory_values import check_values
from shared.storage.webhook_contract import DeliveryFilter, DeliveryPlace, delivery_shard


class MemoryEndpoints:
    """See `Endpoints`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._endpoints = database.webhooks

    async def read(self, id: str) -> Stored[Endpoint] | None:
        await self._database.answer()
        found = self._endpoints.documents.get(id)
        return found and Stored(*found, read_at=self._database.now())

    async def of_tenant(self, tenant: str, *, limit: int) -> Sequence[Endpoint]:
        return await self.page(tenant, after="", limit=limit)

    async def page(self, tenant: str, *, after: str, limit: int) -> Sequence[Endpoint]:
        await self._database.answer()
        behind = [self._endpoints.documents[id][0] for id in sorted(self._endpoints.documents) if id > after]
        return [each for each in behind if each.tenant == tenant][:limit]

    async def create(self, endpoint: Endpoint) -> WriteResult:
        await self._database.answer()
        return self._endpoints.conflict_of_create(endpoint.id) or self._write(endpoint)

    async def replace(self, endpoint: Endpoint, held: Version) -> WriteResult:
        await self._database.answer()
        return self._endpoints.conflict_of_update(endpoint.id, held) or self._write(endpoint)

    async def delete(self, endpoint: Endpoint, held: Version) -> WriteResult:
        await self._database.answer()
        conflict = self._endpoints.conflict_of_update(endpoint.id, held)
        if conflict:
            return conflict
        del self._endpoints.documents[endpoint.id]
        self._mark(endpoint.tenant)
        return held

    def _write(self, endpoint: Endpoint) -> Version:
        self._mark(endpoint.tenant)
        version = self._database.next_version()
        self._endpoints.documents[endpoint.id] = (endpoint, version)
        return version

    def _mark(self, tenant: str) -> None:
        tenants = self._database.webhook_tenants.documents
        hooks, _ = tenants.get(tenant, (TenantHooks(tenant), None))
        tenants[tenant] = (hooks, self._database.next_version())


class MemoryTenantHooks:
    """See `TenantHooksStore`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._tenants = database.webhook_tenants

    async def read(self, tenant: str) -> Stored[TenantHooks] | None:
        await self._database.answer()
        found = self._tenants.documents.get(tenant)
        return found and Stored(*found, read_at=self._database.now())

    async def put_secrets(self, hooks: TenantHooks, held: Version | None) -> WriteResult:
        await self._database.answer()
        conflict = (
            self._tenants.conflict_of_create(hooks.tenant)
            if held is None
            else self._tenants.conflict_of_update(hooks.tenant, held)
        )
        if conflict:
            return conflict
        version = self._database.next_version()
        self._tenants.documents[hooks.tenant] = (hooks, version)
        return version


class MemoryHealths:
    """See `Healths`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._healths = database.webhook_health

    async def read(self, endpoint: str) -> Health | None:
        await self._database.answer()
        found = self._healths.documents.get(endpoint)
        return found and found[0]

    async def put(self, health: Health) -> None:
        await self._database.answer()
        self._healths.documents[health.endpoint] = (health, self._database.next_version())


class MemoryDeliveries:
    """See `Deliveries` and `DeliveryLog`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._deliveries = database.deliveries

    async def read(self, id: str) -> Stored[Delivery] | None:
        await self._database.answer()
        found = self._deliveries.documents.get(id)
        return found and Stored(*found, read_at=self._database.now())

    async def create(self, delivery: Delivery) -> WriteResult:
        await self._database.answer()
        check_values(delivery.body)
        return self._deliveries.conflict_of_create(delivery.id) or self._write(delivery)

    async def update(self, delivery: Delivery, held: Version) -> WriteResult:
        await self._database.answer()
        conflict = self._deliveries.conflict_of_update(delivery.id, held)
        if conflict:
            return conflict
        stored, _ = self._deliveries.documents[delivery.id]
        return self._write(replace(delivery, body=stored.body))

    async def due(
        self, shards: Collection[int], *, since: int = 0, until: int, limit: int
    ) -> Sequence[Stored[Delivery]]:
        await self._database.answer()
        waiting = [
            (each.due_at, each.id, each, version)
            for each, version in self._deliveries.documents.values()
            if each.due_at is not None and since <= each.due_at <= until and delivery_shard(each.endpoint) in shards
        ]
        waiting.sort(key=lambda found: found[:2])
        return [Stored(each, version, self._database.now()) for _, _, each, version in waiting[:limit]]

    async def recoverable(
        self, endpoint: str, *, since: int, after: DeliveryPlace | None, limit: int
    ) -> Sequence[Stored[Delivery]]:
        await self._database.answer()
        missed = [
            Stored(each, version, self._database.now())
            for each, version in self._deliveries.documents.values()
            if each.endpoint == endpoint and each.state in RECOVERABLE and each.created_at >= since
        ]
        behind = [each for each in missed if after is None or DeliveryPlace.of(each.value) > after]
        return sorted(behind, key=lambda each: DeliveryPlace.of(each.value))[:limit]

    async def page(self, wanted: DeliveryFilter, *, after: DeliveryPlace | None, limit: int) -> Sequence[Delivery]:
        await self._database.answer()
        fitting = [each for each, _ in self._deliveries.documents.values() if _fits(each, wanted)]
        below = [each for each in fitting if after is None or DeliveryPlace.of(each) < after]
        return [replace(each, body=b"") for each in sorted(below, key=DeliveryPlace.of, reverse=True)[:limit]]

    def _write(self, delivery: Delivery) -> Version:
        version = self._database.next_version()
        self._deliveries.documents[delivery.id] = (delivery, version)
        return version


def _fits(delivery: Delivery, wanted: DeliveryFilter) -> bool:
    return (
        delivery.tenant == wanted.tenant
        and wanted.endpoint in {None, delivery.endpoint}
        and wanted.subject in {None, delivery.subject}
        and wanted.state in {None, delivery.state}
    )
