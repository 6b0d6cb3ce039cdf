"""An issuer of tokens with a key of its own, drawn at the start: to the bridge what Google's is to Pub/Sub."""

from typing import Any, Final
from uuid import uuid4

import jwt
import orjson
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from shared.clock import MILLISECONDS, Clock

KEYS_PATH: Final = "/keys"
LIFE_SECONDS: Final = 3_600
RENEW_SECONDS: Final = 1_800
_EXPONENT, _BITS = 65_537, 2_048


class Issuer:
    """
    name: as whom it signs. email: the account that its tokens are of.
    """

    def __init__(self, name: str, email: str, clock: Clock) -> None:
        self._name = name
        self._email = email
        self._clock = clock
        self._key = rsa.generate_private_key(_EXPONENT, _BITS)
        self._key_id = uuid4().hex
        self._tokens: dict[str, tuple[str, int]] = {}

    def token(self, audience: str) -> str:
        """A token for `audience`, the same for half its life."""
        now = self._clock.now() // MILLISECONDS
        token, renew_at = self._tokens.get(audience, ("", 0))
        if now >= renew_at:
            token = self.sign(self.claims(audience))
            self._tokens[audience] = token, now + RENEW_SECONDS
        return token

    def claims(self, audience: str) -> dict[str, Any]:
        """What a new token for `audience` says."""
        now = self._clock.now() // MILLISECONDS
        return {
            "iss": self._name,
            "aud": audience,
            "azp": self._email,
            "sub": "1",
            "email": self._email,
            "email_verified": True,
            "iat": now,
            "exp": now + LIFE_SECONDS,
        }

    def sign(self, claims: dict[str, Any]) -> str:
        """A token that says so."""
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self._key_id})

    def key_set(self) -> bytes:
        """The JSON Web Key Set that verifies its tokens."""
        public = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return orjson.dumps({"keys": [{**public, "kid": self._key_id, "alg": "RS256", "use": "sig"}]})

    async def keys(self, _request: web.Request) -> web.Response:
        """`GET /keys`."""
        headers = {"Cache-Control": "public, max-age=3600"}
        return web.Response(body=self.key_set(), content_type="application/json", headers=headers)
