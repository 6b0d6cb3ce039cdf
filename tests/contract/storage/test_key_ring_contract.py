"""KeyRing, on every store: keys are changed by precondition, and listed a tenant's alone."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Protocol

import pytest

from shared.clock import SystemClock
from shared.models.key import SCOPES, ApiKey
from shared.storage.contract import Conflict, KeyRing, Keys, Version
from shared.storage.firestore import FirestoreDatabase, FirestoreKeys
from shared.storage.memory import MemoryDatabase, MemoryKeys
from tests.contract.storage.samples import AT
from tests.contract.storage.storage_subject import PATIENT, new_project

RIVALS = 20
KEY = ApiKey(
    id="k1",
    tenant="acme",
    secret_sha256=bytes(range(32)),
    scopes=SCOPES,
    requests_per_second=10,
    burst=20,
    expires_at=AT,
    revoked_at=AT + 1,
    name="Bürosystem „A“",
    created_at=AT - 1,
    previous_sha256=bytes(range(1, 33)),
    previous_until=AT + 2,
)


class Ring(KeyRing, Keys, Protocol):
    """Everything that is asked of the repository of keys."""


@pytest.fixture
async def ring(store_address: str) -> AsyncIterator[Ring]:
    if not store_address:
        yield MemoryKeys(MemoryDatabase(SystemClock()))
        return
    async with FirestoreDatabase(new_project(), store_address, limits=PATIENT) as database:
        yield FirestoreKeys(database)


def plain(id: str, tenant: str = "acme") -> ApiKey:
    return ApiKey(id, tenant, b"\0" * 32, frozenset({"jobs:read"}))


async def page(ring: Ring, tenant: str | None, *, after: str = "", limit: int = 100) -> list[str]:
    return [key.id for key in await ring.page(tenant, after=after, limit=limit)]


async def test_a_key_is_read_as_it_was_created(ring: Ring) -> None:
    version = await ring.create(KEY)
    stored = await ring.read(KEY.id)
    assert stored is not None
    assert (stored.value, stored.version) == (KEY, version)
    assert await ring.find(KEY.id) == KEY
    assert await ring.read("k0") is None


async def test_an_id_that_is_taken_is_not_created_again(ring: Ring) -> None:
    await ring.create(KEY)
    assert await ring.create(plain(KEY.id)) is Conflict.EXISTS
    assert await ring.find(KEY.id) == KEY


async def test_replacing_leaves_nothing_of_what_was_there(ring: Ring) -> None:
    version = await ring.create(KEY)
    assert isinstance(version, Version)
    assert isinstance(await ring.replace(plain(KEY.id), version), Version)
    assert await ring.find(KEY.id) == plain(KEY.id)


async def test_of_rivals_that_replace_one_state_one_wins(ring: Ring) -> None:
    version = await ring.create(KEY)
    assert isinstance(version, Version)
    wanted = [replace(KEY, name=str(n)) for n in range(RIVALS)]
    results = await asyncio.gather(*(ring.replace(key, version) for key in wanted))
    [winner] = [key for key, result in zip(wanted, results, strict=True) if isinstance(result, Version)]
    assert await ring.find(KEY.id) == winner


async def test_a_page_holds_the_tenants_keys_alone_in_the_order_of_their_ids(ring: Ring) -> None:
    for id, tenant in (("b", "acme"), ("a-2", "acme"), ("C", "acme"), ("aa", "globex"), ("a", "acme-2")):
        await ring.create(plain(id, tenant))
    assert await page(ring, "acme") == ["C", "a-2", "b"]
    assert await page(ring, None) == ["C", "a", "a-2", "aa", "b"]
    assert await page(ring, "nobody") == []


async def test_pages_follow_each_other_without_gap_or_overlap(ring: Ring) -> None:
    for n in range(7):
        await ring.create(plain(f"k{n}"))
        await ring.create(plain(f"k{n}x", "globex"))
    found: list[str] = []
    while True:
        part = await page(ring, "acme", after=found[-1] if found else "", limit=3)
        found += part
        if len(part) < 3:
            break
    assert found == [f"k{n}" for n in range(7)]
    assert await page(ring, None, after="k5", limit=3) == ["k5x", "k6", "k6x"]
    assert await page(ring, "acme", after="k2x", limit=2) == ["k3", "k4"]
