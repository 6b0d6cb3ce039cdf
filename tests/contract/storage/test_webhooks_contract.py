"""Endpoints, tenants' secrets, health and deliveries, on every store."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from shared.clock import SystemClock
from shared.models.delivery import AttemptRecord, Delivery, DeliveryState, ErrorClass
from shared.models.webhook import DisabledBy, Endpoint, Health, SealedSecret, TenantHooks
from shared.storage.contract import Conflict, Version
from shared.storage.firestore import (
    FirestoreDatabase,
    FirestoreDeliveries,
    FirestoreEndpoints,
    FirestoreHealths,
    FirestoreTenantHooks,
)
from shared.storage.memory import MemoryDatabase
from shared.storage.memory_webhooks import (
    MemoryDeliveries,
    MemoryEndpoints,
    MemoryHealths,
    MemoryTenantHooks,
)
from shared.storage.webhook_contract import (
    Deliveries,
    DeliveryFilter,
    DeliveryLog,
    DeliveryPlace,
    Endpoints,
    Healths,
    TenantHooksStore,
    delivery_shard,
)
from tests.contract.storage.storage_subject import PATIENT, new_project

AT = 1_750_000_000_123


@dataclass(frozen=True, slots=True)
class Hooks:
    endpoints: Endpoints
    tenants: TenantHooksStore
    healths: Healths
    deliveries: Deliveries
    log: DeliveryLog


@pytest.fixture
async def hooks(store_address: str) -> AsyncIterator[Hooks]:
    if not store_address:
        memory = MemoryDatabase(SystemClock())
        mine = MemoryDeliveries(memory)
        yield Hooks(MemoryEndpoints(memory), MemoryTenantHooks(memory), MemoryHealths(memory), mine, mine)
        return
    async with FirestoreDatabase(new_project(), store_address, limits=PATIENT) as database:
        theirs = FirestoreDeliveries(database)
        yield Hooks(
            FirestoreEndpoints(database),
            FirestoreTenantHooks(database),
            FirestoreHealths(database),
            theirs,
            theirs,
        )


ENDPOINT = Endpoint(
    id="whk_1",
    tenant="acme",
    url="https://example.com/hook",
    events=frozenset({"job.succeeded", "job.failed"}),
    secrets=(SealedSecret(b"\x01new"), SealedSecret(b"\x01old", AT + 5)),
    created_at=AT,
    updated_at=AT + 1,
    labels={"__team__": "a=b"},
    headers=frozenset({"x-key"}),
    sealed_headers=b"\x01headers",
    description="Bücher",
).disabled(DisabledBy.GONE, at=AT + 2)
BARE = Endpoint("whk_2", "acme", "https://example.com/", frozenset(), (), AT, AT)


def delivery(id: str = "dlv_1", endpoint: str = "whk_1", **changes: object) -> Delivery:
    made = Delivery(
        id=id,
        tenant="acme",
        message="msg_1",
        type="job.succeeded",
        endpoint=endpoint,
        subject="job_1",
        body=b'{"type":"job.succeeded"}',
        created_at=AT,
        expires_at=AT + 1_000,
        due_at=AT,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


RECORD = AttemptRecord(AT, 12, 503, ErrorClass.STATUS)


async def version_of(hooks: Hooks, tenant: str) -> Version | None:
    stored = await hooks.tenants.read(tenant)
    return None if stored is None else stored.version


@pytest.mark.parametrize("endpoint", [ENDPOINT, BARE], ids=["full", "bare"])
async def test_an_endpoint_is_read_as_it_was_written(hooks: Hooks, endpoint: Endpoint) -> None:
    assert await hooks.endpoints.read(endpoint.id) is None
    version = await hooks.endpoints.create(endpoint)
    stored = await hooks.endpoints.read(endpoint.id)
    assert stored is not None
    assert (stored.value, stored.version) == (endpoint, version)
    assert await hooks.endpoints.create(endpoint) is Conflict.EXISTS


async def test_an_endpoint_is_replaced_and_deleted_by_who_saw_it_last(hooks: Hooks) -> None:
    first = await hooks.endpoints.create(ENDPOINT)
    assert isinstance(first, Version)
    second = await hooks.endpoints.replace(ENDPOINT, first)  # the same again counts as a write
    assert isinstance(second, Version)
    assert second != first
    enabled = ENDPOINT.enabled_again(at=AT + 3)
    assert isinstance(await hooks.endpoints.replace(enabled, first), Conflict)
    third = await hooks.endpoints.replace(enabled, second)
    assert isinstance(third, Version)
    stored = await hooks.endpoints.read(ENDPOINT.id)
    assert stored is not None
    assert stored.value == enabled
    assert isinstance(await hooks.endpoints.delete(enabled, second), Conflict)
    assert await hooks.endpoints.delete(enabled, third) == third
    assert await hooks.endpoints.read(ENDPOINT.id) is None


async def test_every_change_of_an_endpoint_moves_its_tenants_version_and_keeps_its_secrets(hooks: Hooks) -> None:
    assert await hooks.tenants.read("acme") is None
    created = await hooks.endpoints.create(BARE)
    assert isinstance(created, Version)
    seen = [await version_of(hooks, "acme")]
    secrets = TenantHooks("acme").with_secret(b"sealed", at=AT, overlap_seconds=0)
    assert seen[0] is not None
    assert isinstance(await hooks.tenants.put_secrets(secrets, seen[0]), Version)
    seen.append(await version_of(hooks, "acme"))
    replaced = await hooks.endpoints.replace(BARE, created)
    seen.append(await version_of(hooks, "acme"))
    assert isinstance(replaced, Version)
    await hooks.endpoints.delete(BARE, replaced)
    seen.append(await version_of(hooks, "acme"))
    assert None not in seen
    assert len(set(seen)) == 4
    stored = await hooks.tenants.read("acme")
    assert stored is not None
    assert stored.value == secrets


async def test_a_tenants_secrets_are_written_by_who_saw_them_last(hooks: Hooks) -> None:
    first = TenantHooks("acme").with_secret(b"one", at=AT, overlap_seconds=0)
    held = await hooks.tenants.put_secrets(first, None)
    assert isinstance(held, Version)
    assert await hooks.tenants.put_secrets(first, None) is Conflict.EXISTS
    second = first.with_secret(b"two", at=AT + 1_000, overlap_seconds=60)
    assert isinstance(await hooks.tenants.put_secrets(second, held), Version)
    assert isinstance(await hooks.tenants.put_secrets(second, held), Conflict)
    stored = await hooks.tenants.read("acme")
    assert stored is not None
    assert stored.value == second


async def test_endpoints_of_a_tenant_in_pages(hooks: Hooks) -> None:
    for n in range(5):
        await hooks.endpoints.create(replace(BARE, id=f"whk_{n}"))
    await hooks.endpoints.create(replace(BARE, id="whk_other", tenant="globex"))
    first = await hooks.endpoints.page("acme", after="", limit=3)
    rest = await hooks.endpoints.page("acme", after=first[-1].id, limit=3)
    assert [each.id for each in (*first, *rest)] == [f"whk_{n}" for n in range(5)]
    assert [each.id for each in await hooks.endpoints.of_tenant("acme", limit=2)] == ["whk_0", "whk_1"]


async def test_health_is_replaced_whole(hooks: Hooks) -> None:
    assert await hooks.healths.read("whk_1") is None
    failing = Health("whk_1", succeeded_at=AT).after_failure(at=AT + 1).after_failure(at=AT + 2)
    await hooks.healths.put(failing)
    assert await hooks.healths.read("whk_1") == failing
    await hooks.healths.put(failing.after_success(at=AT + 3))
    assert await hooks.healths.read("whk_1") == Health("whk_1", succeeded_at=AT + 3)


FULL = delivery(url="https://example.com/once", slow=True, finished_at=AT + 9, step=2, attempts=(RECORD,), attempted=30)


@pytest.mark.parametrize("made", [delivery(), FULL], ids=["new", "full"])
async def test_a_delivery_is_read_as_it_was_written(hooks: Hooks, made: Delivery) -> None:
    version = await hooks.deliveries.create(made)
    stored = await hooks.deliveries.read(made.id)
    assert stored is not None
    assert (stored.value, stored.version) == (made, version)
    assert await hooks.deliveries.create(made) is Conflict.EXISTS


async def test_a_delivery_is_updated_by_who_saw_it_last_and_keeps_its_body(hooks: Hooks) -> None:
    made = delivery()
    held = await hooks.deliveries.create(made)
    assert isinstance(held, Version)
    retried = replace(made, body=b"").retried(RECORD, due_at=AT + 5_000)
    newer = await hooks.deliveries.update(retried, held)
    assert isinstance(newer, Version)
    assert isinstance(await hooks.deliveries.update(retried, held), Conflict)
    again = await hooks.deliveries.update(retried, newer)
    assert isinstance(again, Version)
    assert again != newer
    assert isinstance(await hooks.deliveries.update(retried.delivered(RECORD, at=AT + 6_000), again), Version)
    stored = await hooks.deliveries.read(made.id)
    assert stored is not None
    assert (stored.value.state, stored.value.body, stored.value.due_at) == (DeliveryState.DELIVERED, made.body, None)
    assert [each.status for each in stored.value.attempts] == [503, 503]


async def test_due_deliveries_of_the_shards_that_are_asked_for(hooks: Hooks) -> None:
    endpoints = [f"whk_{n}" for n in range(40)]
    for n, endpoint in enumerate(endpoints):
        await hooks.deliveries.create(delivery(f"dlv_{n}", endpoint, due_at=AT + 40 - n))
    await hooks.deliveries.create(delivery("dlv_late", "whk_1", due_at=AT + 100))
    await hooks.deliveries.create(delivery("dlv_held", "whk_1").held(at=AT))
    wanted = {delivery_shard("whk_1"), delivery_shard("whk_2"), delivery_shard("whk_3")}
    found = await hooks.deliveries.due(wanted, until=AT + 50, limit=100)
    expected = [n for n in reversed(range(40)) if delivery_shard(endpoints[n]) in wanted]
    assert [each.value.id for each in found] == [f"dlv_{n}" for n in expected]
    assert all(each.value.body for each in found)
    some = await hooks.deliveries.due(wanted, until=AT + 50, limit=2)
    assert [each.value.id for each in some] == [f"dlv_{n}" for n in expected[:2]]
    behind = await hooks.deliveries.due(wanted, since=found[1].value.due_at or 0, until=AT + 50, limit=100)
    assert [each.value.id for each in behind] == [each.value.id for each in found[1:]]
    assert list(await hooks.deliveries.due([], until=AT + 50, limit=2)) == []


async def test_what_an_endpoint_missed_oldest_first(hooks: Hooks) -> None:
    for n in range(6):
        made = delivery(f"dlv_{n}", created_at=AT + n // 2)
        await hooks.deliveries.create(made.held(at=AT) if n % 2 else made.expired(at=AT))
    await hooks.deliveries.create(delivery("dlv_done").delivered(RECORD, at=AT))
    await hooks.deliveries.create(delivery("dlv_other", "whk_2").held(at=AT))
    first = await hooks.deliveries.recoverable("whk_1", since=AT + 1, after=None, limit=3)
    place = DeliveryPlace.of(first[-1].value)
    rest = await hooks.deliveries.recoverable("whk_1", since=AT + 1, after=place, limit=3)
    assert [each.value.id for each in (*first, *rest)] == [f"dlv_{n}" for n in range(2, 6)]


async def test_the_log_in_pages_newest_first(hooks: Hooks) -> None:
    for n in range(6):
        await hooks.deliveries.create(delivery(f"dlv_{n}", created_at=AT + n // 2))
    await hooks.deliveries.create(delivery("dlv_x", "whk_2", subject="job_2").held(at=AT))
    await hooks.deliveries.create(delivery("dlv_y", tenant="globex"))
    wanted = DeliveryFilter("acme", endpoint="whk_1")
    first = await hooks.log.page(wanted, after=None, limit=4)
    rest = await hooks.log.page(wanted, after=DeliveryPlace.of(first[-1]), limit=4)
    assert [each.id for each in (*first, *rest)] == [f"dlv_{n}" for n in reversed(range(6))]
    assert {each.body for each in first} == {b""}
    about = await hooks.log.page(DeliveryFilter("acme", subject="job_2"), after=None, limit=4)
    assert [each.id for each in about] == ["dlv_x"]
    held = DeliveryFilter("acme", endpoint="whk_1", state=DeliveryState.HELD)
    assert list(await hooks.log.page(held, after=None, limit=4)) == []
