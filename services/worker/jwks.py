"""The public keys of whoever signs pushes: a JSON Web Key Set (RFC 7517), fetched, kept, renewed.

Asked by `oidc` for each token that it has not seen. Keys change every few days and are announced before they are used;
an issuer that does not answer for a while must not stop the work. So they are renewed ahead of time; what is known goes
on being used for a day without an answer; and a key that nobody knows makes us look again, but not more often than
every few seconds, whoever sends such tokens.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWKError
from jwt.algorithms import RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from shared.clock import Clock
from shared.errors import Unavailable

FETCH_SECONDS: Final = 5.0
AGAIN_SECONDS: Final = 10.0
"""Between two looks for keys that are not known."""
SHORTEST_SECONDS: Final = 60.0
LONGEST_SECONDS: Final = 6 * 3_600.0
"""Bounds of what the issuer says about how long its answer holds; it may change its mind after a leak."""
STALE_SECONDS: Final = 86_400.0
"""Keys that nobody could confirm for so long are not used any more."""
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
MAX_BYTES: Final = 64 * 1024
MAX_KEYS: Final = 64
MIN_BITS: Final = 2_048

_log = logging.getLogger("sluice.worker")


class KeysUnavailable(Unavailable):
    """The issuer's keys could not be had, so it is not known whether a signature is right."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer of the issuer: the set as JSON, and for how many seconds it holds."""

    body: bytes
    fresh_seconds: float


Fetch = Callable[[], Awaitable[Fetched]]
"""Asks the issuer once. Raises KeysUnavailable."""


class KeySet:
    """The keys, by id. `run` renews them for as long as it is awaited; without it they are fetched when asked for.

    chance: uniform in 0…1, keeps workers from asking together.
    """

    def __init__(self, fetch: Fetch, clock: Clock, chance: Callable[[], float]) -> None:
        self._fetch = fetch
        self._clock = clock
        self._chance = chance
        self._keys: Mapping[str, RSAPublicKey] = {}
        self._confirmed_at: float | None = None
        self._tried_at: float | None = None
        self._fresh_seconds = 0.0
        self._failures = 0
        self._looking = asyncio.Lock()

    async def key(self, id: str) -> RSAPublicKey | None:
        """The key; None when the issuer has none of that id. Raises KeysUnavailable."""
        found = self._known(id)
        if found is None:
            async with self._looking:  # one look serves all who came meanwhile
                if self._known(id) is None and self._may_look():
                    await self._look()
            found = self._known(id)
        if found is None and (self._failures or not self._usable()):
            raise KeysUnavailable("the keys of the issuer of pushes could not be had")
        return found

    async def run(self) -> None:
        """Renew the keys ahead of time, until cancelled."""
        while True:
            async with self._looking:
                await self._look()
            await self._clock.sleep(self._pause())

    def _known(self, id: str) -> RSAPublicKey | None:
        return self._keys.get(id) if self._usable() else None

    def _usable(self) -> bool:
        return self._confirmed_at is not None and self._clock.monotonic() - self._confirmed_at < STALE_SECONDS

    def _may_look(self) -> bool:
        return self._tried_at is None or self._clock.monotonic() - self._tried_at >= AGAIN_SECONDS

    def _pause(self) -> float:
        if not self._failures:
            return self._fresh_seconds * (0.7 + 0.2 * self._chance())
        ceiling = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures, 32))
        return ceiling * (0.5 + 0.5 * self._chance())

    async def _look(self) -> None:
        self._tried_at = self._clock.monotonic()
        try:
            fetched = await self._fetch()
            keys = parsed(fetched.body)
        except KeysUnavailable as fault:
            self._failures += 1
            if self._failures == 1:
                _log.warning("the keys of the issuer of pushes could not be had", extra={"fault": str(fault)})
            return
        if self._failures:
            _log.info("the keys of the issuer of pushes are there again")
        self._keys, self._confirmed_at, self._failures = keys, self._clock.monotonic(), 0
        self._fresh_seconds = min(LONGEST_SECONDS, max(SHORTEST_SECONDS, fetched.fresh_seconds))


def parsed(body: bytes) -> dict[str, RSAPublicKey]:
    """The keys for signatures in a key set, by id; others are passed over. Raises KeysUnavailable if there are none."""
    try:
        entries = orjson.loads(body)["keys"][:MAX_KEYS]
        found = {entry["kid"]: key for entry in entries if (key := _key(entry)) is not None}
    except (KeyError, TypeError, ValueError):
        raise KeysUnavailable("what the issuer answered is no key set") from None
    if not found:
        raise KeysUnavailable("the issuer's key set has no key for RS256")
    return found


def _key(entry: Any) -> RSAPublicKey | None:
    if not isinstance(entry, dict):
        return None
    if entry.get("kty") != "RSA" or entry.get("use", "sig") != "sig" or entry.get("alg", "RS256") != "RS256":
        return None
    if not isinstance(entry.get("kid"), str):
        return None
    try:
        key = RSAAlgorithm.from_jwk(entry)
    except (InvalidKeyError, PyJWKError, TypeError, ValueError):
        return None
    return key if isinstance(key, RSAPublicKey) and key.key_size >= MIN_BITS else None


def fetching(url: str) -> Fetch:
    """Fetches from `url`, following no redirect, within FETCH_SECONDS and MAX_BYTES; so seldom that nothing is kept."""

    async def fetch() -> Fetched:
        try:
            async with (
                asyncio.timeout(FETCH_SECONDS),
                aiohttp.ClientSession() as session,
                session.get(url, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise KeysUnavailable(f"the issuer answered {answer.status}")
                body = await _bounded(answer)
                return Fetched(body, _max_age(answer.headers.get("Cache-Control", "")))
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            raise KeysUnavailable(f"the issuer did not answer ({type(fault).__name__})") from None

    return fetch


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in answer.content.iter_chunked(MAX_BYTES):
        body += piece
        if len(body) > MAX_BYTES:
            raise KeysUnavailable("the issuer's answer is too large for a key set")
    return bytes(body)


def _max_age(cache_control: str) -> float:
    for directive in cache_control.split(","):
        name, _, seconds = directive.strip().partition("=")
        if name.lower() == "max-age" and seconds.isascii() and seconds.isdigit():
            return float(seconds[:9])
    return SHORTEST_SECONDS
