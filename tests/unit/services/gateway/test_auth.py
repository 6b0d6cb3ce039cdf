"""Keys: held for a moment, refused in time, and known while the store is away."""

import hashlib

import pytest

from services.gateway.auth import BAD_SECONDS, GOOD_SECONDS, STALE_SECONDS, Authenticator
from services.gateway.problems import Problem
from shared.clock import ManualClock
from shared.models.key import ApiKey
from shared.storage.memory import MemoryDatabase, MemoryKeys

SECRET = "0123456789abcdef"
HEADER = f"Bearer sk_one_{SECRET}"
KEY = ApiKey("one", "acme", hashlib.sha256(SECRET.encode()).digest(), frozenset({"jobs:read"}))


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.database = MemoryDatabase(self.clock)
        self.keys = MemoryKeys(self.database)
        self.authenticator = Authenticator(self.keys, self.clock)

    async def status(self, header: str = HEADER, scope: str = "jobs:read") -> int:
        try:
            await self.authenticator.authenticate(header, scope)
        except Problem as problem:
            return problem.type.status
        return 200


async def test_a_good_key_is_let_in_and_then_known_without_asking() -> None:
    b = Bench()
    await b.keys.put(KEY)
    assert b.authenticator.known(HEADER) is None
    assert await b.status() == 200
    assert b.authenticator.known(HEADER) == KEY


@pytest.mark.parametrize("header", ["", "Bearer x", f"Basic sk_one_{SECRET}", f"Bearer sk_two_{SECRET}", HEADER + "0"])
async def test_anything_else_is_401(header: str) -> None:
    b = Bench()
    await b.keys.put(KEY)
    await b.status()
    assert await b.status(header) == 401
    assert b.authenticator.known(header) is None


async def test_a_missing_scope_is_403() -> None:
    b = Bench()
    await b.keys.put(KEY)
    assert await b.status(scope="jobs:write") == 403


async def test_revoking_takes_effect_within_the_time_a_key_is_held() -> None:
    b = Bench()
    await b.keys.put(KEY)
    assert await b.status() == 200
    await b.keys.put(ApiKey(**{f: getattr(KEY, f) for f in KEY.__slots__} | {"revoked_at": b.clock.now()}))
    assert await b.status() == 200
    await b.clock.advance(GOOD_SECONDS)
    assert b.authenticator.known(HEADER) is None
    assert await b.status() == 401


async def test_a_key_expires_to_the_moment_though_it_is_held() -> None:
    b = Bench()
    await b.keys.put(ApiKey(**{f: getattr(KEY, f) for f in KEY.__slots__} | {"expires_at": b.clock.now() + 2_000}))
    assert await b.status() == 200
    await b.clock.advance(2)
    assert b.authenticator.known(HEADER) is None
    assert await b.status() == 401


async def test_known_keys_stay_good_for_a_while_when_the_store_is_away() -> None:
    b = Bench()
    await b.keys.put(KEY)
    assert await b.status() == 200
    b.database.fail()
    await b.clock.advance(STALE_SECONDS - 1)
    assert await b.status() == 200
    assert await b.status(f"Bearer sk_two_{SECRET}") == 503
    await b.clock.advance(1)
    assert await b.status() == 503


async def test_an_unknown_key_is_not_asked_for_again_at_once() -> None:
    b = Bench()
    assert await b.status() == 401
    await b.keys.put(KEY)
    assert await b.status() == 401
    await b.clock.advance(BAD_SECONDS)
    assert await b.status() == 200
