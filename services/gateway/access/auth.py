"""Who asks: API keys, held for a moment so that most requests ask nobody.

Called by `routes` for every route with a scope, and by `express` without waiting. A key is held 30 s (revoking takes
effect within that), 10 min while the store does not answer; an id that no key has, 5 s. A secret that a held key does
not know may be its new one: the key is read again, but no more than once in a moment, for whoever asks within it.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from weakref import WeakValueDictionary

from services.gateway.http.problems import FORBIDDEN, UNAUTHENTICATED, Problem, unavailable
from shared.clock import Clock
from shared.errors import Overloaded, Unavailable
from shared.models.key import ApiKey, KeyToken
from shared.storage.contract import Keys

GOOD_SECONDS = 30.0
STALE_SECONDS = 600.0
BAD_SECONDS = 5.0
MAX_HELD = 10_000
RELOOK_SECONDS = 0.5
"""Between reads of one key for secrets that it does not know: guessing costs the store next to nothing."""


@dataclass(frozen=True, slots=True)
class _Held:
    key: ApiKey | None
    read_at: float
    turn: int
    """Grows with every read, so that whoever comes knows whether one was begun since."""

    def fresh(self, now: float) -> bool:
        return now - self.read_at < (GOOD_SECONDS if self.key else BAD_SECONDS)


class Authenticator:
    def __init__(self, keys: Keys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._looking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._met: OrderedDict[str, KeyToken] = OrderedDict()
        self._turn = 0

    def known(self, authorization: str | None) -> ApiKey | None:
        """The key if it is held and good: no waiting, for the hottest path."""
        token = self._met.get(authorization or "") or _token(authorization)
        held = token and self._held.get(token.id)
        if not token or not held or not held.key or not held.fresh(self._clock.monotonic()):
            return None
        if not self._good(held.key, token):
            return None
        if authorization not in self._met:
            self._meet(authorization or "", token)
        return held.key

    async def authenticate(self, authorization: str | None, scope: str) -> ApiKey:
        """The key, if it is good and has `scope`. Raises Problem: 401, 403, or 503 when nobody can tell."""
        token = _token(authorization)
        key = token and await self._find(token)
        if not token or not key or not self._good(key, token):
            raise Problem(
                UNAUTHENTICATED, "The API key is missing or not good.", headers={"WWW-Authenticate": "Bearer"}
            )
        if scope and not key.may(scope):
            raise Problem(FORBIDDEN, f"The key has no scope {scope}.")
        return key

    def _meet(self, authorization: str, token: KeyToken) -> None:
        """Parse and hash it no more: it was good once, and is checked against the key each time."""
        self._met[authorization] = token
        if len(self._met) > MAX_HELD:
            self._met.popitem(last=False)

    def forget(self, id: str) -> None:
        """The key was changed here: read it anew."""
        self._held.pop(id, None)

    def _good(self, key: ApiKey, token: KeyToken) -> bool:
        return key.opens(token.secret_sha256, self._clock.now())

    async def _find(self, token: KeyToken) -> ApiKey | None:
        held, since = self._held.get(token.id), self._turn
        if held and held.fresh(self._clock.monotonic()):
            if self._settles(held, token):
                return held.key
            await self._clock.sleep(max(0.0, held.read_at + RELOOK_SECONDS - self._clock.monotonic()))
        async with self._looking.setdefault(token.id, asyncio.Lock()):  # one read of a key at a time, for all who wait
            held = self._held.get(token.id)
            if held and (held.turn > since or self._settles(held, token)):
                return held.key
            return await self._read(token.id, held)

    def _settles(self, held: _Held, token: KeyToken) -> bool:
        """Whether what is held is enough to tell: nobody has that id, or the secret is the key's."""
        return held.fresh(self._clock.monotonic()) and (not held.key or self._good(held.key, token))

    async def _read(self, id: str, held: _Held | None) -> ApiKey | None:
        now = self._clock.monotonic()
        self._turn += 1
        turn = self._turn
        try:
            key = await self._keys.find(id)
        except (Unavailable, Overloaded):
            if held and held.key and now - held.read_at < STALE_SECONDS:
                return held.key
            raise unavailable("The key cannot be checked right now.") from None
        self._hold(id, _Held(key, now, turn))
        return key

    def _hold(self, id: str, held: _Held) -> None:
        self._held[id] = held
        self._held.move_to_end(id)
        if len(self._held) > MAX_HELD:
            self._held.popitem(last=False)


def _token(authorization: str | None) -> KeyToken | None:
    scheme, _, credentials = (authorization or "").partition(" ")
    return KeyToken.parse(credentials.strip()) if scheme.lower() == "bearer" else None
