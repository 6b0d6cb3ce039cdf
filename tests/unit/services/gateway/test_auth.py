"""Keys: held for a moment, refused in time, and known while the store is away."""

import asyncio
import hashlib
from dataclasses import replace

import pytest

from services.gateway.access.auth import BAD_SECONDS, GOOD_SECONDS, RELOOK_SECONDS, STALE_SECONDS, Authenticator
from services.gateway.http.problems import Problem
from shared.clock import ManualClock
from shared.models.key import ApiKey
from shared.storage.memory import MemoryDatabase, MemoryKeys

SECRET = "0123456789abcdef"
HEADER = f"Bearer sk_one_{SECRET}"
KEY = ApiKey("one", "acme", hashlib.sha256(SECRET.encode()).digest(), frozenset({"jobs:read"}))


NEW_SECRET = "fedcba9876543210"
NEW_HEADER = f"Bearer sk_one_{NEW_SECRET}"


def rotated(key: ApiKey, at: int, overlap_seconds: int) -> ApiKey:
    return key.rotated(hashlib.sha256(NEW_SECRET.encode()).digest(), at=at, overlap_seconds=overlap_seconds)


class CountedKeys(MemoryKeys):
    reads = 0

    async def find(self, id: str) -> ApiKey | None:
        self.reads += 1
        return await super().find(id)


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.database = MemoryDatabase(self.clock)
        self.keys = CountedKeys(self.database)
        self.authenticator = Authenticator(self.keys, self.clock)

    async def status(self, header: str = HEADER, scope: str = "jobs:read") -> int:
        """Of a request that is given all the time that a refusal may take."""
        request = asyncio.create_task(self._status(header, scope))
        await self.clock.advance(0)
        if not request.done():
            await self.clock.advance(RELOOK_SECONDS)
        async with asyncio.timeout(5):
            return await request

    async def _status(self, header: str, scope: str) -> int:
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


async def test_both_secrets_of_a_rotated_key_are_good_until_the_overlap_ends() -> None:
    b = Bench()
    await b.keys.put(rotated(KEY, b.clock.now(), 60))
    assert [await b.status(), await b.status(NEW_HEADER)] == [200, 200]
    await b.clock.advance(60)
    assert b.authenticator.known(HEADER) is None
    assert [await b.status(), await b.status(NEW_HEADER)] == [401, 200]


async def test_rotating_again_ends_the_overlap_of_the_secret_before() -> None:
    b = Bench()
    await b.keys.put(rotated(rotated(KEY, b.clock.now(), 60), b.clock.now(), 60))
    assert [await b.status(), await b.status(NEW_HEADER)] == [401, 200]


async def test_without_an_overlap_the_old_secret_ends_at_once() -> None:
    b = Bench()
    await b.keys.put(rotated(KEY, b.clock.now(), 0))
    assert [await b.status(), await b.status(NEW_HEADER)] == [401, 200]


async def test_a_new_secret_is_known_though_the_key_is_held_as_it_was() -> None:
    b = Bench()
    await b.keys.put(KEY)
    assert await b.status() == 200
    await b.keys.put(rotated(KEY, b.clock.now(), 60))
    assert await b.status(NEW_HEADER) == 200
    assert await b.status() == 200
    assert b.keys.reads == 2


async def test_however_many_guess_at_once_the_store_is_asked_once() -> None:
    b = Bench()
    await b.keys.put(KEY)
    assert await b.status() == 200
    guesses = [asyncio.create_task(b._status(f"Bearer sk_one_guess{n}", "jobs:read")) for n in range(50)]
    await b.clock.advance(0)
    assert b.authenticator.known(HEADER) == KEY
    await b.clock.advance(RELOOK_SECONDS)
    assert {await guess for guess in guesses} == {401}
    assert b.keys.reads == 2


async def test_a_cold_key_is_read_once_for_all_who_ask_at_once() -> None:
    b = Bench()
    await b.keys.put(KEY)
    asked = [b._status(HEADER, "jobs:read") for _ in range(50)]
    assert set(await asyncio.gather(*asked)) == {200}
    assert b.keys.reads == 1


async def test_a_key_that_was_changed_here_is_read_at_once() -> None:
    b = Bench()
    await b.keys.put(KEY)
    assert await b.status() == 200
    await b.keys.put(KEY.revoked(at=b.clock.now()))
    b.authenticator.forget(KEY.id)
    assert await b.status() == 401


async def test_who_may_see_every_tenant_may_see_its_own() -> None:
    b = Bench()
    await b.keys.put(replace(KEY, scopes=frozenset({"system"})))
    assert [await b.status(scope=scope) for scope in ("system", "operator", "jobs:read")] == [200, 200, 403]
    await b.keys.put(replace(KEY, scopes=frozenset({"operator"})))
    b.authenticator.forget(KEY.id)
    assert [await b.status(scope=scope) for scope in ("system", "operator", "")] == [403, 200, 200]
