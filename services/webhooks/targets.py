"""Where a delivery goes and what signs it, as that is now: the endpoint's settings, or those of a one-off webhook."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson
from yarl import URL

from services.webhooks.directory import Directory
from services.webhooks.signing import SigningKeys
from shared.egress import Rules
from shared.models.delivery import Delivery
from shared.models.webhook import Endpoint, SealedSecret, endpoint_place, good, secret_bytes, tenant_place
from shared.sealing import Sealer


@dataclass(frozen=True, slots=True)
class Target:
    """endpoint: None for a one-off webhook."""

    url: URL = field(repr=False)
    keys: SigningKeys
    headers: Mapping[str, str] = field(repr=False)
    endpoint: Endpoint | None


@dataclass(frozen=True, slots=True)
class Disabled:
    """The endpoint takes nothing until it is enabled again."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """The endpoint is no more, or the tenant has no secret any more."""


@dataclass(frozen=True, slots=True)
class Targets:
    directory: Directory
    sealer: Sealer
    rules: Rules

    async def of(self, delivery: Delivery, *, now: int) -> Target | Disabled | Deleted:
        """Raises StoreUnavailable, Overloaded, NotSealedHere, and DestinationNotAllowed."""
        if delivery.url is not None:
            return await self._one_off(delivery.tenant, delivery.url, now)
        endpoint = await self.directory.endpoint(delivery.endpoint)
        if endpoint is None:
            return Deleted()
        if not endpoint.enabled:
            return Disabled()
        place = endpoint_place(endpoint.id)
        headers = {}
        if endpoint.sealed_headers is not None:
            headers = orjson.loads(self.sealer.open(endpoint.sealed_headers, place))
        return Target(self.rules.url(endpoint.url), self._keys(endpoint.secrets, place, now), headers, endpoint)

    async def _one_off(self, tenant: str, url: str, now: int) -> Target | Deleted:
        hooks = await self.directory.hooks(tenant)
        if hooks is None or not hooks.secrets:
            return Deleted()
        return Target(self.rules.url(url), self._keys(hooks.secrets, tenant_place(tenant), now), {}, None)

    def _keys(self, secrets: tuple[SealedSecret, ...], place: str, now: int) -> SigningKeys:
        opened = (self.sealer.open(each.sealed, place) for each in good(secrets, now))
        return SigningKeys(tuple(secret_bytes(each.decode()) for each in opened))
