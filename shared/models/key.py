"""An API key, as stored: everything but the secret.

Written by `sluice-admin` and the gateway's key routes, read by gateways.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

from shared.clock import rfc3339

SCOPES = frozenset({"jobs:write", "jobs:read", "webhooks", "operator", "system"})
TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
KEY_ID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
MAX_KEY_NAME = 100
"""Characters."""
MAX_REQUESTS_PER_SECOND, MAX_BURST = 100_000, 200_000
MAX_OVERLAP_SECONDS = 7 * 86_400
OVERLAP_SECONDS = 86_400
"""How long the old secret stays good when a key is rotated, unless it is said."""

_TOKEN = re.compile(rf"sk_({KEY_ID.pattern})_([\x21-\x7e]{{1,256}})", re.ASCII)
_ID_BYTES, _SECRET_BYTES = 8, 32


@dataclass(frozen=True, slots=True)
class ApiKey:
    id: str
    tenant: str
    secret_sha256: bytes
    scopes: frozenset[str]
    requests_per_second: int | None = None
    """None: the gateway's default."""
    burst: int | None = None
    expires_at: int | None = None
    revoked_at: int | None = None
    name: str = ""
    """For people to tell keys apart."""
    created_at: int | None = None
    previous_sha256: bytes | None = None
    """The secret before the last rotation, good until `previous_until`."""
    previous_until: int | None = None

    def usable(self, now: int) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def opens(self, secret_sha256: bytes, now: int) -> bool:
        """Whether that secret is the key's at `now`. Takes as long for a wrong one as for a right one."""
        current = hmac.compare_digest(self.secret_sha256, secret_sha256)
        previous = hmac.compare_digest(self.previous_sha256 or b"", secret_sha256)
        return self.usable(now) and (current or (previous and self.overlaps(now)))

    def overlaps(self, now: int) -> bool:
        """Whether the secret before the last rotation is still good."""
        return self.previous_until is not None and now < self.previous_until

    def may(self, scope: str) -> bool:
        """Whether the key has `scope`, or one that holds it: who may see every tenant may see its own."""
        return scope in self.scopes or (scope == "operator" and "system" in self.scopes)

    def rotated(self, secret_sha256: bytes, *, at: int, overlap_seconds: int) -> Self:
        """With a new secret; the one it had stays good for `overlap_seconds`, one from before that does not."""
        if overlap_seconds == 0:
            return replace(self, secret_sha256=secret_sha256, previous_sha256=None, previous_until=None)
        until = at + overlap_seconds * 1_000
        return replace(self, secret_sha256=secret_sha256, previous_sha256=self.secret_sha256, previous_until=until)

    def revoked(self, *, at: int) -> Self:
        """Good for nothing from now on; a key that was revoked before stays as it is."""
        return self if self.revoked_at is not None else replace(self, revoked_at=at)


@dataclass(frozen=True, slots=True)
class KeyToken:
    """A key as its holder sends it, `sk_<key id>_<secret>`, with the secret already hashed."""

    id: str
    secret_sha256: bytes

    @classmethod
    def parse(cls, text: str) -> "KeyToken | None":
        match = _TOKEN.fullmatch(text)
        return match and cls(match[1], hashlib.sha256(match[2].encode()).digest())


def shown(key: ApiKey, *, now: int, secret: str | None = None) -> dict[str, Any]:
    """The key as the API and `sluice-admin` show it. secret: only in the answer that makes it."""
    found = {
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "requests_per_second": key.requests_per_second,
        "burst": key.burst,
        "created_at": _time(key.created_at),
        "expires_at": _time(key.expires_at),
        "revoked_at": _time(key.revoked_at),
        "previous_secret_until": _time(key.previous_until) if key.overlaps(now) else None,
    }
    return found if secret is None else {**found, "secret": secret}


def _time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)


def draw_key_id(entropy: Callable[[int], bytes]) -> str:
    """A new key's id. entropy: returns that many random bytes."""
    return f"k{entropy(_ID_BYTES).hex()}"


def draw_token(id: str, entropy: Callable[[int], bytes]) -> str:
    """A new secret for key `id`, as its holder sends it: shown once, kept by nobody. `KeyToken.parse` has its hash."""
    return f"sk_{id}_{entropy(_SECRET_BYTES).hex()}"
