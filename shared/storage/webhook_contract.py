"""The Protocols of storage for webhooks, each cut to one consumer's need. `contract` says what holds for all storage.

| collection | writer → reader | harmless twice because |
|---|---|---|
| `webhooks` | gateway; webhooks (disables) → both | written under precondition |
| `webhook_tenants` | gateway; with each endpoint, in its commit → both | a counter; secrets under precondition |
| `webhook_health` | the holder of the endpoint's shard → itself, and its successor | written whole |
| `deliveries` | webhooks; gateway (redeliver) → both | message and endpoint determine the id; preconditions |
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from shared.models.delivery import Delivery, DeliveryState
from shared.models.webhook import Endpoint, Health, TenantHooks
from shared.storage.contract import Stored, Version, WriteResult, shard_of

DELIVERY_SHARDS: Final = 16
"""They lead the index of what is due, and are what instances of the webhooks service share out (`shard_leases`). At
most 30: one query asks for all that an instance holds."""


def delivery_shard(endpoint: str) -> int:
    """The shard of an endpoint's deliveries: its holder alone calls that endpoint."""
    return shard_of(endpoint, DELIVERY_SHARDS)


class EndpointReader(Protocol):
    async def read(self, id: str) -> Stored[Endpoint] | None:
        """Raises StoreUnavailable."""
        ...

    async def of_tenant(self, tenant: str, *, limit: int) -> Sequence[Endpoint]:
        """The tenant's endpoints by id, the first `limit`. Raises StoreUnavailable."""
        ...


class Endpoints(EndpointReader, Protocol):
    """Each write also marks the tenant's document as changed, both or neither."""

    async def create(self, endpoint: Endpoint) -> WriteResult:
        """Write it if there is none by its id. Raises StoreUnavailable or CommitUnknown."""
        ...

    async def replace(self, endpoint: Endpoint, held: Version) -> WriteResult:
        """Write it, whole, if nobody wrote since `held`. Raises as `create`."""
        ...

    async def delete(self, endpoint: Endpoint, held: Version) -> WriteResult:
        """Delete it if nobody wrote since `held`. Raises as `create`."""
        ...

    async def page(self, tenant: str, *, after: str, limit: int) -> Sequence[Endpoint]:
        """In the order of their ids, from the first behind `after`. Raises StoreUnavailable."""
        ...


class TenantHooksReader(Protocol):
    async def read(self, tenant: str) -> Stored[TenantHooks] | None:
        """None: the tenant has neither endpoint nor secret. The version is later after any change of an endpoint.

        Raises StoreUnavailable.
        """
        ...


class TenantHooksStore(TenantHooksReader, Protocol):
    async def put_secrets(self, hooks: TenantHooks, held: Version | None) -> WriteResult:
        """Write the secrets if nobody wrote since `held`; None: if there is no document.

        Raises StoreUnavailable or CommitUnknown.
        """
        ...


class Healths(Protocol):
    async def read(self, endpoint: str) -> Health | None:
        """Raises StoreUnavailable."""
        ...

    async def put(self, health: Health) -> None:
        """Write it, whole. Raises StoreUnavailable, after which it may have been written."""
        ...


class DeliveryReader(Protocol):
    async def read(self, id: str) -> Stored[Delivery] | None:
        """Raises StoreUnavailable."""
        ...


class DeliveryWrites(DeliveryReader, Protocol):
    async def create(self, delivery: Delivery) -> WriteResult:
        """Write the whole document if there is none. Raises StoreUnavailable or CommitUnknown."""
        ...

    async def update(self, delivery: Delivery, held: Version) -> WriteResult:
        """Write its state (not its body) if nobody wrote since `held`. Raises as `create`."""
        ...


class Deliveries(DeliveryWrites, Protocol):
    """What the webhooks service needs."""

    async def due(
        self, shards: Collection[int], *, since: int = 0, until: int, limit: int
    ) -> Sequence[Stored[Delivery]]:
        """Deliveries of `shards` with `due_at` from `since` to `until`, earliest first. Raises StoreUnavailable."""
        ...

    async def recoverable(
        self, endpoint: str, *, since: int, after: "DeliveryPlace | None", limit: int
    ) -> Sequence[Stored[Delivery]]:
        """What the endpoint missed (held, exhausted, expired) and was made at `since` or later, oldest first.

        Raises StoreUnavailable.
        """
        ...


@dataclass(frozen=True, slots=True, order=True)
class DeliveryPlace:
    """Where a delivery stands in lists."""

    created_at: int
    id: str

    @classmethod
    def of(cls, delivery: Delivery) -> "DeliveryPlace":
        return cls(delivery.created_at, delivery.id)


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries a list shows: of an endpoint, or about a subject."""

    tenant: str
    endpoint: str | None = None
    subject: str | None = None
    state: DeliveryState | None = None


class DeliveryLog(DeliveryWrites, Protocol):
    """What the gateway needs."""

    async def page(self, wanted: DeliveryFilter, *, after: DeliveryPlace | None, limit: int) -> Sequence[Delivery]:
        """The newest deliveries below `after`, without bodies. Raises StoreUnavailable."""
        ...
