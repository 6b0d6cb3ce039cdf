"""Who sent a push: the OpenID Connect token that Pub/Sub signs for each request, verified in full, always.

Called by `push` before it reads a body. Nothing switches it off: where the broker signs nothing, as the emulator, a
bridge in front of the worker does (`deploy/local`). Verifying a signature takes 50 µs and Pub/Sub sends the same token
for up to an hour, so what was verified is remembered by its hash for a few minutes.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import jwt
from jwt.exceptions import (
    InvalidAlgorithmError,
    InvalidAudienceError,
    InvalidIssuerError,
    InvalidSignatureError,
    InvalidTokenError,
    MissingRequiredClaimError,
)

from services.worker.jwks import KeySet
from shared.clock import MILLISECONDS, Clock

ALGORITHM: Final = "RS256"
"""The only one that is taken: a token that names its own algorithm chooses how it is checked."""
LEEWAY_SECONDS: Final = 30
"""Clocks differ."""
REMEMBER_SECONDS: Final = 300
MAX_REMEMBERED: Final = 1_000
MAX_TOKEN: Final = 8_192
_CLAIMS: Final = ("iss", "aud", "exp", "iat", "email")


class Flaw(StrEnum):
    """Why a token is not taken; the value is what logs and metrics say."""

    MISSING = "missing"
    MALFORMED = "malformed"
    ALGORITHM = "algorithm"
    UNKNOWN_KEY = "unknown_key"
    SIGNATURE = "signature"
    CLAIM_MISSING = "claim_missing"
    AUDIENCE = "audience"
    ISSUER = "issuer"
    EXPIRED = "expired"
    NOT_YET = "not_yet"
    EMAIL = "email"
    EMAIL_UNVERIFIED = "email_unverified"


@dataclass(frozen=True, slots=True)
class Genuine:
    """The request is from whom it has to be from."""

    email: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say.

    audience: for whom it is. issuers: one of which made it. emails: the accounts that may push.
    """

    audience: str
    issuers: Collection[str]
    emails: Collection[str]


@dataclass(frozen=True, slots=True)
class _Remembered:
    genuine: Genuine
    until: int


class Verifier:
    def __init__(self, expected: Expected, keys: KeySet, clock: Clock) -> None:
        self._expected = expected
        self._keys = keys
        self._clock = clock
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()

    async def verify(self, authorization: str | None) -> Genuine | Flaw:
        """Who sent a request with this Authorization header. Raises KeysUnavailable when that cannot be found out."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return Flaw.MISSING
        if len(token) > MAX_TOKEN:
            return Flaw.MALFORMED
        digest = hashlib.sha256(token.encode(errors="replace")).digest()
        known = self._remembered.get(digest)
        if known is not None and self._clock.now() < known.until:
            return known.genuine
        return await self._examined(token, digest)

    async def _examined(self, token: str, digest: bytes) -> Genuine | Flaw:
        try:
            header = jwt.get_unverified_header(token)
        except InvalidTokenError:
            return Flaw.MALFORMED
        if header.get("alg") != ALGORITHM:
            return Flaw.ALGORITHM
        key = await self._keys.key(str(header.get("kid", "")))
        if key is None:
            return Flaw.UNKNOWN_KEY
        claims = self._decoded(token, key)
        if isinstance(claims, Flaw):
            return claims
        flaw = self._flaw(claims)
        if flaw is not None:
            return flaw
        genuine = Genuine(claims["email"])
        self._remember(digest, genuine, round(claims["exp"] * MILLISECONDS))
        return genuine

    def _decoded(self, token: str, key: Any) -> Mapping[str, Any] | Flaw:
        """The claims, once signature, audience and issuer are right. Times are judged by our own clock, in `_flaw`."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._expected.audience,
                issuer=list(self._expected.issuers),
                options={
                    "require": list(_CLAIMS),
                    "strict_aud": True,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except InvalidTokenError as fault:
            return _flaw_of(fault)
        return claims

    def _flaw(self, claims: Mapping[str, Any]) -> Flaw | None:
        now = self._clock.now() / MILLISECONDS
        times = [claims["exp"], claims["iat"], claims.get("nbf", 0)]
        if not all(type(time) in {int, float} for time in times):
            return Flaw.MALFORMED
        if now >= claims["exp"] + LEEWAY_SECONDS:
            return Flaw.EXPIRED
        if now < max(claims["iat"], claims.get("nbf", 0)) - LEEWAY_SECONDS:
            return Flaw.NOT_YET
        if claims["email"] not in self._expected.emails:
            return Flaw.EMAIL
        return None if claims.get("email_verified") is True else Flaw.EMAIL_UNVERIFIED

    def _remember(self, digest: bytes, genuine: Genuine, expires_at: int) -> None:
        until = min(expires_at, self._clock.now() + REMEMBER_SECONDS * MILLISECONDS)
        self._remembered[digest] = _Remembered(genuine, until)
        self._remembered.move_to_end(digest)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)


def _flaw_of(fault: InvalidTokenError) -> Flaw:
    match fault:
        case InvalidSignatureError():
            return Flaw.SIGNATURE
        case InvalidAlgorithmError():
            return Flaw.ALGORITHM
        case InvalidAudienceError():
            return Flaw.AUDIENCE
        case InvalidIssuerError():
            return Flaw.ISSUER
        case MissingRequiredClaimError():
            return Flaw.CLAIM_MISSING
        case _:
            return Flaw.MALFORMED
