"""Who is to be told: a tenant's endpoints, and each endpoint as it is now. Cached, and never wrong about a new one.

A tenant's document is read for each event (reads of one moment travel together, and events of one tenant share one):
its version changes with every change of an endpoint, so endpoints are read again only then. What is called may be as
old as `endpoint_seconds`; that something is not to be called is never remembered, or it would miss what comes then.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from shared.clock import Clock
from shared.models.webhook import Endpoint, TenantHooks
from shared.storage.contract import Version
from shared.storage.webhook_contract import EndpointReader, TenantHooksReader

V = TypeVar("V")

MAX_TENANTS: Final = 5_000
MAX_CACHED: Final = 20_000
LISTS_AT_A_TIME: Final = 4
"""More would wait in the store, until their deadline."""
MOST_ENDPOINTS: Final = 1_000
"""Of one tenant; the gateway allows fewer."""


class Recent(Generic[V]):
    """The last `room` values put, by key."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._values: OrderedDict[str, V] = OrderedDict()

    def get(self, key: str) -> V | None:
        found = self._values.get(key)
        if found is not None:
            self._values.move_to_end(key)
        return found

    def put(self, key: str, value: V) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._room:
            self._values.popitem(last=False)

    def drop(self, key: str) -> None:
        self._values.pop(key, None)


@dataclass(frozen=True, slots=True)
class _Known(Generic[V]):
    value: V
    until: float


class Directory:
    """seconds: for which an endpoint that is called may be remembered."""

    def __init__(self, endpoints: EndpointReader, tenants: TenantHooksReader, clock: Clock, *, seconds: float) -> None:
        self._endpoints = endpoints
        self._tenants = tenants
        self._clock = clock
        self._seconds = seconds
        self._by_tenant: Recent[tuple[Version, Sequence[Endpoint]]] = Recent(MAX_TENANTS)
        self._by_id: Recent[_Known[Endpoint]] = Recent(MAX_CACHED)
        self._listing = asyncio.Semaphore(LISTS_AT_A_TIME)
        self._hooks: Recent[_Known[TenantHooks]] = Recent(MAX_TENANTS)

    async def of_tenant(self, tenant: str) -> Sequence[Endpoint]:
        """All endpoints that were there when this was called. Raises StoreUnavailable, Overloaded."""
        stored = await self._tenants.read(tenant)
        if stored is None:
            return ()
        known = self._by_tenant.get(tenant)
        if known is not None and known[0] == stored.version:
            return known[1]
        async with self._listing:
            known = self._by_tenant.get(tenant)
            if known is not None and known[0] == stored.version:  # another event of the tenant was quicker
                return known[1]
            found = await self._endpoints.of_tenant(tenant, limit=MOST_ENDPOINTS)
            self._by_tenant.put(tenant, (stored.version, found))
            return found

    async def endpoint(self, id: str) -> Endpoint | None:
        """As it was within the last seconds; None: deleted. Raises as `of_tenant`."""
        known, now = self._by_id.get(id), self._clock.monotonic()
        if known is not None and now < known.until:
            return known.value
        stored = await self._endpoints.read(id)
        found = None if stored is None else stored.value
        if found is not None and found.enabled:
            self._by_id.put(id, _Known(found, now + self._seconds))
        return found

    async def hooks(self, tenant: str) -> TenantHooks | None:
        """The tenant's own secrets, likewise."""
        known, now = self._hooks.get(tenant), self._clock.monotonic()
        if known is not None and now < known.until:
            return known.value
        stored = await self._tenants.read(tenant)
        found = None if stored is None else stored.value
        if found is not None and found.secrets:
            self._hooks.put(tenant, _Known(found, now + self._seconds))
        return found

    def forget(self, id: str) -> None:
        """Read the endpoint again when it is called next."""
        self._by_id.drop(id)
