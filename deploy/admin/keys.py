"""API keys, as an operator handles them from a terminal: straight in the store, where the gateways find them in 30 s.

The first key of a deployment can come from here only. A secret is drawn here, shown once, and kept by nobody.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from shared.clock import Clock
from shared.errors import ConfigError, SluiceError, StoreUnavailable
from shared.models.key import SCOPES, TENANT, ApiKey, KeyToken, draw_key_id, draw_token
from shared.storage.contract import Conflict, KeyRing, Keys

PAGE = 300
MAX_ROUNDS = 5


class KeyNotFound(SluiceError):
    """There is no key by that id."""


class KeyUnusable(SluiceError):
    """The key is revoked or has expired, and stays as it is."""


def parse_dev_keys(text: str) -> list[ApiKey]:
    """From `tenant:sk_<id>_<secret>`, comma-separated, each with every scope. Raises ConfigError without the secret."""
    keys = []
    for place, part in enumerate((part.strip() for part in text.split(",") if part.strip()), start=1):
        tenant, _, credentials = part.partition(":")
        token = KeyToken.parse(credentials)
        if not TENANT.fullmatch(tenant) or token is None:
            raise ConfigError(f"SLUICE_DEV_KEYS, entry {place}, is not tenant:sk_<id>_<secret>")
        keys.append(ApiKey(token.id, tenant, token.secret_sha256, scopes=SCOPES))
    return keys


async def seed(keys: list[ApiKey], store: Keys) -> None:
    """Write the keys; those that are there are replaced."""
    for key in keys:
        await store.put(key)


@dataclass(frozen=True, slots=True)
class KeyAdmin:
    """entropy: returns that many random bytes."""

    ring: KeyRing
    clock: Clock
    entropy: Callable[[int], bytes]

    async def create(self, wanted: ApiKey) -> tuple[ApiKey, str]:
        """A key like `wanted`, with an id and a secret of its own; and the secret. Raises StoreUnavailable."""
        id = draw_key_id(self.entropy)
        secret = draw_token(id, self.entropy)
        made = replace(wanted, id=id, secret_sha256=_hash(secret), created_at=self.clock.now())
        if isinstance(await self.ring.create(made), Conflict):
            raise StoreUnavailable("the key was not made; try again")
        return made, secret

    async def all(self, tenant: str | None) -> list[ApiKey]:
        """The tenant's keys, or everyone's. Raises StoreUnavailable."""
        found: list[ApiKey] = []
        while True:
            page = await self.ring.page(tenant, after=found[-1].id if found else "", limit=PAGE)
            found += page
            if len(page) < PAGE:
                return found

    async def revoke(self, id: str) -> ApiKey:
        """Raises KeyNotFound, StoreUnavailable."""
        return await self._change(id, lambda key: key.revoked(at=self.clock.now()))

    async def rotate(self, id: str, *, overlap_seconds: int) -> tuple[ApiKey, str]:
        """The key with a new secret; and that. Raises KeyNotFound, KeyUnusable, StoreUnavailable."""
        secret, now = draw_token(id, self.entropy), self.clock.now()

        def rotated(key: ApiKey) -> ApiKey:
            if not key.usable(now):
                raise KeyUnusable(f"{id} is revoked or has expired; make a new key")
            return key.rotated(_hash(secret), at=now, overlap_seconds=overlap_seconds)

        return await self._change(id, rotated), secret

    async def _change(self, id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey:
        for _ in range(MAX_ROUNDS):
            stored = await self.ring.read(id)
            if stored is None:
                raise KeyNotFound(f"there is no key {id}")
            wanted = change(stored.value)
            if wanted == stored.value or not isinstance(await self.ring.replace(wanted, stored.version), Conflict):
                return wanted
        raise StoreUnavailable("others are changing the key; try again")


def _hash(secret: str) -> bytes:
    token = KeyToken.parse(secret)
    assert token is not None
    return token.secret_sha256
