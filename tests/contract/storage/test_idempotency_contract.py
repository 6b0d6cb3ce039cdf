"""Idempotency, on every store: of all who use a key at once, one writes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.clock import SystemClock
from shared.errors import StoreUnavailable
from shared.storage.contract import Conflict, Idempotency, KeyedRequest, Version
from shared.storage.firestore import FirestoreDatabase, FirestoreIdempotency
from shared.storage.memory import MemoryDatabase, MemoryIdempotency
from tests.contract.storage.samples import AT, new_id
from tests.contract.storage.storage_subject import PATIENT, new_project

RIVALS = 30
REQUEST = KeyedRequest("job_1", "f" * 64, 6, AT)
DRAWN: dict[str, st.SearchStrategy[Any]] = {
    "id": st.text(max_size=50),
    "fingerprint": st.text(max_size=64),
    "accept_seconds": st.integers(0, 2**63 - 1),
    "expire_at": st.integers(0, 253_402_300_799_999),
}


@pytest.fixture
async def store(store_address: str) -> AsyncIterator[Idempotency]:
    if not store_address:
        yield MemoryIdempotency(MemoryDatabase(SystemClock()))
        return
    async with FirestoreDatabase(new_project(), store_address, limits=PATIENT) as database:
        yield FirestoreIdempotency(database)


@pytest.fixture
def hash() -> str:
    return new_id("hash")


async def test_an_unused_key_is_none(store: Idempotency, hash: str) -> None:
    assert await store.find(hash) is None


async def test_what_is_created_is_found(store: Idempotency, hash: str) -> None:
    version = await store.create(hash, REQUEST)
    found = await store.find(hash)
    assert found is not None
    assert (found.value, found.version) == (REQUEST, version)
    assert 0 <= found.idle_seconds < 60
    assert await store.find(hash + "x") is None


async def test_a_used_key_is_not_created_again(store: Idempotency, hash: str) -> None:
    await store.create(hash, REQUEST)
    assert await store.create(hash, replace(REQUEST, id="job_2")) is Conflict.EXISTS
    found = await store.find(hash)
    assert found is not None
    assert found.value == REQUEST


async def test_one_of_many_rivals_creates(store: Idempotency, hash: str) -> None:
    rivals = [replace(REQUEST, id=f"job_{n}") for n in range(RIVALS)]
    results = await asyncio.gather(*(store.create(hash, rival) for rival in rivals))
    winners = [rival for rival, result in zip(rivals, results, strict=True) if isinstance(result, Version)]
    assert len(winners) == 1
    assert set(results) - {Conflict.EXISTS} == {results[rivals.index(winners[0])]}
    found = await store.find(hash)
    assert found is not None
    assert found.value == winners[0]


async def test_it_is_replaced_by_the_version_that_was_read(store: Idempotency, hash: str) -> None:
    first = await store.create(hash, REQUEST)
    assert isinstance(first, Version)
    second = await store.replace(hash, replace(REQUEST, id="job_2", accept_seconds=0), first)
    assert isinstance(second, Version)
    assert second != first
    assert await store.replace(hash, REQUEST, first) is Conflict.STALE
    found = await store.find(hash)
    assert found is not None
    assert (found.value.id, found.value.accept_seconds, found.version) == ("job_2", 0, second)


async def test_replacing_by_the_same_is_a_write(store: Idempotency, hash: str) -> None:
    first = await store.create(hash, REQUEST)
    assert isinstance(first, Version)
    second = await store.replace(hash, REQUEST, first)
    assert isinstance(second, Version)
    assert second.updated_at > first.updated_at


async def test_one_of_many_rivals_replaces(store: Idempotency, hash: str) -> None:
    held = await store.create(hash, REQUEST)
    assert isinstance(held, Version)
    rivals = [replace(REQUEST, id=f"job_{n}") for n in range(RIVALS)]
    results = await asyncio.gather(*(store.replace(hash, rival, held) for rival in rivals))
    assert len([result for result in results if isinstance(result, Version)]) == 1


async def test_a_key_that_was_never_used_cannot_be_replaced(store: Idempotency, hash: str) -> None:
    assert await store.replace(hash, REQUEST, Version(1)) in {Conflict.STALE, Conflict.MISSING}
    assert await store.find(hash) is None


async def test_a_store_that_does_not_answer_says_so(hash: str) -> None:
    database = MemoryDatabase(SystemClock())
    store = MemoryIdempotency(database)
    database.fail()
    for call in (store.find(hash), store.create(hash, REQUEST), store.replace(hash, REQUEST, Version(1))):
        with pytest.raises(StoreUnavailable):
            await call


def test_every_field_is_drawn() -> None:
    assert {field.name for field in fields(KeyedRequest)} == set(DRAWN)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=st.builds(KeyedRequest, **DRAWN))
async def test_whatever_is_in_it_comes_back(store: Idempotency, request: KeyedRequest) -> None:
    hash = new_id("hash")
    held = await store.create(hash, request)
    assert isinstance(held, Version)
    await store.replace(hash, request, held)
    found = await store.find(hash)
    assert found is not None
    assert found.value == request
