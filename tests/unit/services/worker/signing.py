"""An issuer of tokens for tests: what it says can be bent, one thing at a time."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from services.worker.jwks import Fetched, KeysUnavailable
from services.worker.oidc import Expected
from shared.clock import MILLISECONDS, Clock

AUDIENCE = "https://worker.example"
ISSUER = "https://issuer.example"
EMAIL = "pusher@project.example"
EXPECTED = Expected(AUDIENCE, (ISSUER, "issuer.example"), (EMAIL, "other@project.example"))


@dataclass(slots=True)
class Key:
    """A signing key and its id."""

    id: str
    private: rsa.RSAPrivateKey

    @classmethod
    def new(cls, id: str, *, bits: int = 2_048) -> "Key":
        return cls(id, rsa.generate_private_key(65_537, bits))

    def public(self) -> dict[str, Any]:
        """As an entry of a key set."""
        return {**RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True), "kid": self.id, "use": "sig"}


ONE, TWO = Key.new("one"), Key.new("two")
"""Drawn once: it takes a while."""


@dataclass(slots=True)
class Issuer:
    """keys: what it publishes. fresh_seconds: for how long it says so. down: it does not answer. holds: not yet."""

    clock: Clock
    keys: list[Key] = field(default_factory=lambda: [ONE])
    fresh_seconds: float = 3_600
    down: bool = False
    holds: asyncio.Event | None = None
    asked: int = 0

    async def fetch(self) -> Fetched:
        """A `Fetch`."""
        self.asked += 1
        if self.holds is not None:
            await self.holds.wait()
        if self.down:
            raise KeysUnavailable("down")
        return Fetched(orjson.dumps({"keys": [key.public() for key in self.keys]}), self.fresh_seconds)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Of a good token, but for the changes; None leaves a claim out."""
        now = self.clock.now() // MILLISECONDS
        good = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "1",
            "email": EMAIL,
            "email_verified": True,
            "iat": now,
            "exp": now + 3_600,
        }
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    def header(self, key: Key = ONE, **changes: Any) -> str:
        """An Authorization header with a token of these claims, signed."""
        return f"Bearer {jwt.encode(self.claims(**changes), key.private, algorithm='RS256', headers={'kid': key.id})}"
