"""What is remembered of endpoints: that they are called, and never that they are not."""

from dataclasses import replace

from services.webhooks.directory import Directory
from shared.clock import ManualClock
from shared.models.webhook import DEFAULT_TYPES, DisabledBy, Endpoint
from shared.storage.contract import Version
from shared.storage.memory import MemoryDatabase
from shared.storage.memory_webhooks import MemoryEndpoints, MemoryTenantHooks

ENDPOINT = Endpoint(
    id="whk_1",
    tenant="acme",
    url="https://example.com/",
    events=frozenset(DEFAULT_TYPES),
    secrets=(),
    created_at=0,
    updated_at=0,
)


async def test_an_endpoint_that_is_enabled_again_is_called_at_once() -> None:
    clock = ManualClock()
    database = MemoryDatabase(clock)
    endpoints = MemoryEndpoints(database)
    directory = Directory(endpoints, MemoryTenantHooks(database), clock, seconds=2.0)
    disabled = ENDPOINT.disabled(DisabledBy.OWNER, at=clock.now())
    version = await endpoints.create(disabled)
    assert isinstance(version, Version)
    assert await directory.endpoint("whk_1") == disabled
    await endpoints.replace(ENDPOINT, version)
    assert await directory.endpoint("whk_1") == ENDPOINT


async def test_an_endpoint_that_is_called_is_read_again_after_a_while() -> None:
    clock = ManualClock()
    database = MemoryDatabase(clock)
    endpoints = MemoryEndpoints(database)
    directory = Directory(endpoints, MemoryTenantHooks(database), clock, seconds=2.0)
    version = await endpoints.create(ENDPOINT)
    assert isinstance(version, Version)
    await directory.endpoint("whk_1")
    changed = replace(ENDPOINT, url="https://example.com/new")
    await endpoints.replace(changed, version)
    assert await directory.endpoint("whk_1") == ENDPOINT
    await clock.advance(2.0)
    assert await directory.endpoint("whk_1") == changed
