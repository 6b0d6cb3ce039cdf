"""ShardLeases, on every store: who is there by the store's time, and one allotment that changes by precondition."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.clock import SystemClock
from shared.storage.contract import TIMER_SHARDS, Conflict, Version
from shared.storage.firestore import FirestoreDatabase, FirestoreShardLeases
from shared.storage.memory import MemoryDatabase
from shared.storage.memory_leases import MemoryShardLeases
from shared.storage.shard_leases import DELIVERIES, TIMERS, Allotment, ShardLeases, Term
from tests.contract.storage.samples import AT
from tests.contract.storage.storage_subject import PATIENT, new_project

ONE, OTHER = Term("a1", "scheduler-1", 6, AT), Term("b2", "scheduler-2", 6, AT)


@pytest.fixture
async def leases(store_address: str) -> AsyncIterator[ShardLeases]:
    if not store_address:
        yield MemoryShardLeases(MemoryDatabase(SystemClock()), DELIVERIES)
        return
    async with FirestoreDatabase(new_project(), store_address, limits=PATIENT) as database:
        yield FirestoreShardLeases(database, DELIVERIES)


async def test_nobody_is_there_and_nothing_is_allotted(leases: ShardLeases) -> None:
    assert list(await leases.terms()) == []
    assert await leases.allotment() is None


async def test_a_lease_is_read_as_it_was_written(leases: ShardLeases) -> None:
    versions = [await leases.renew(term, None) for term in (ONE, OTHER)]
    found = sorted(await leases.terms(), key=lambda each: each.value.id)
    assert [each.value for each in found] == [ONE, OTHER]
    assert [each.version for each in found] == versions
    assert all(0 <= each.idle_seconds < 60 for each in found)


async def test_every_renewal_counts_though_nothing_else_changes(leases: ShardLeases) -> None:
    held = await leases.renew(ONE, None)
    for _ in range(3):
        assert isinstance(held, Version)
        renewed = await leases.renew(ONE, held)
        assert isinstance(renewed, Version)
        assert renewed.updated_at > held.updated_at
        held = renewed


async def test_a_lease_is_renewed_by_who_wrote_it_last(leases: ShardLeases) -> None:
    held = await leases.renew(ONE, None)
    assert isinstance(held, Version)
    assert await leases.renew(ONE, None) is Conflict.EXISTS
    assert isinstance(await leases.renew(ONE, held), Version)
    assert await leases.renew(ONE, held) is Conflict.STALE
    assert await leases.end(ONE.id, held) is Conflict.STALE


async def test_a_lease_that_is_ended_is_gone(leases: ShardLeases) -> None:
    held = await leases.renew(ONE, None)
    assert isinstance(held, Version)
    assert await leases.end(ONE.id, held) == held
    assert list(await leases.terms()) == []
    assert await leases.end(ONE.id, held) in {Conflict.STALE, Conflict.MISSING}
    assert await leases.renew(ONE, held) in {Conflict.STALE, Conflict.MISSING}


async def test_an_allotment_is_read_as_it_was_written(leases: ShardLeases) -> None:
    wanted = Allotment({0: "a1", 7: "b2", TIMER_SHARDS - 1: "a1"})
    version = await leases.allot(wanted, None)
    stored = await leases.allotment()
    assert stored is not None
    assert (stored.value, stored.version) == (wanted, version)


async def test_of_many_that_change_the_allotment_at_once_one_does(leases: ShardLeases) -> None:
    first = await leases.allot(Allotment({}), None)
    assert isinstance(first, Version)
    assert await leases.allot(Allotment({}), None) is Conflict.EXISTS
    results = await asyncio.gather(*(leases.allot(Allotment({0: f"t{n}"}), first) for n in range(8)))
    assert [isinstance(result, Version) for result in results].count(True) == 1
    stored = await leases.allotment()
    assert stored is not None
    assert stored.value.holders == {0: f"t{next(n for n, r in enumerate(results) if isinstance(r, Version))}"}


async def test_groups_see_nothing_of_each_other(store_address: str) -> None:
    if not store_address:
        memory = MemoryDatabase(SystemClock())
        await _apart(MemoryShardLeases(memory, TIMERS), MemoryShardLeases(memory, DELIVERIES))
        return
    async with FirestoreDatabase(new_project(), store_address, limits=PATIENT) as database:
        await _apart(FirestoreShardLeases(database, TIMERS), FirestoreShardLeases(database, DELIVERIES))


async def _apart(one: ShardLeases, other: ShardLeases) -> None:
    await one.renew(ONE, None)
    await one.allot(Allotment({0: "a1"}), None)
    assert list(await other.terms()) == []
    assert await other.allotment() is None
    assert [each.value for each in await one.terms()] == [ONE]
