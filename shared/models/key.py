"""An API key, as stored: everything but the secret.

Written by `sluice-admin` and the gateway's key routes, read by gateways.
"""

import hashlib
import re
from dataclasses import dataclass

SCOPES = frozenset({"jobs:write", "jobs:read", "webhooks", "operator", "system"})
TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_TOKEN = re.compile(r"sk_([A-Za-z0-9-]{1,64})_([\x21-\x7e]{1,256})", re.ASCII)


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

    def usable(self, now: int) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class KeyToken:
    """A key as its holder sends it, `sk_<key id>_<secret>`, with the secret already hashed."""

    id: str
    secret_sha256: bytes

    @classmethod
    def parse(cls, text: str) -> "KeyToken | None":
        match = _TOKEN.fullmatch(text)
        return match and cls(match[1], hashlib.sha256(match[2].encode()).digest())
