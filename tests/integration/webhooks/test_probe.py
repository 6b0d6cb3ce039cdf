"""The breaker across instances: a dead endpoint is asked by one of them, and once at a time.

Two services on one store in memory and on a clock that the test moves, and a real server that they call.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from services.webhooks.app import Adapters, serving
from services.webhooks.breaker import FIRST_PAUSE_SECONDS, OPENS_AFTER
from services.webhooks.settings import Settings
from shared.clock import ManualClock
from shared.config import Secret
from shared.messaging.memory import MemoryBroker, MemoryPublisher, MemorySource
from shared.messaging.topics import Names, topology
from shared.models.delivery import WINDOW_MS, Delivery
from shared.models.webhook import DEFAULT_TYPES, Endpoint, SealedSecret, draw_secret, endpoint_place
from shared.sealing import Sealer
from shared.storage.memory import MemoryDatabase, MemoryJobs
from shared.storage.memory_leases import MemoryShardLeases
from shared.storage.memory_webhooks import MemoryDeliveries, MemoryEndpoints, MemoryHealths, MemoryTenantHooks
from shared.storage.shard_leases import DELIVERIES
from tests.integration.webhooks.bench import ID_KEYS, WEBHOOK_KEYS, runtime
from tests.integration.webhooks.receiver import Receiver

DELIVERED = 60
STEP_SECONDS = 0.25
ENDPOINT_SLOTS = 10


@dataclass
class World:
    """What the instances share."""

    clock: ManualClock = field(default_factory=ManualClock)
    database: MemoryDatabase = field(init=False)
    broker: MemoryBroker = field(init=False)

    def __post_init__(self) -> None:
        self.database = MemoryDatabase(self.clock)
        self.broker = MemoryBroker(self.clock)
        self.broker.apply(topology(Names("sluice"), ()))

    @asynccontextmanager
    async def instance(self, name: str) -> AsyncIterator[None]:
        settings = Settings(
            instance=name, id_keys=Secret(ID_KEYS), webhook_keys=Secret(WEBHOOK_KEYS), webhooks_allow_local=True
        )
        database = self.database
        async with aiohttp.ClientSession() as client:
            adapters = Adapters(
                jobs=MemoryJobs(database),
                endpoints=MemoryEndpoints(database),
                tenants=MemoryTenantHooks(database),
                healths=MemoryHealths(database),
                deliveries=MemoryDeliveries(database),
                leases=MemoryShardLeases(database, DELIVERIES),
                publisher=MemoryPublisher(self.broker),
                source=MemorySource(self.broker, self.clock),
                client=client,
                clock=self.clock,
                checks={},
            )
            async with serving(settings, runtime(), adapters):
                yield

    async def pass_by(self, seconds: float) -> None:
        """Time goes on in steps, in each of which requests have a moment to be answered."""
        for _ in range(round(seconds / STEP_SECONDS)):
            await self.clock.advance(STEP_SECONDS)
            await asyncio.sleep(0.005)  # real time, for a real server

    async def endpoint(self, url: str) -> Endpoint:
        id, now = "whk_dead", self.clock.now()
        sealed = Sealer.parse(WEBHOOK_KEYS).seal(draw_secret(os.urandom).encode(), endpoint_place(id))
        made = Endpoint(id, "acme", url, frozenset(DEFAULT_TYPES), (SealedSecret(sealed),), now, now)
        await MemoryEndpoints(self.database).create(made)
        return made

    async def due(self, endpoint: Endpoint, count: int) -> None:
        now = self.clock.now()
        for n in range(count):
            await MemoryDeliveries(self.database).create(
                Delivery(
                    f"dlv_{n}", "acme", f"msg_{n}", "job.failed", endpoint.id, "job_1", b"{}", now, now + WINDOW_MS, now
                )
            )


async def test_of_two_instances_one_probes_a_dead_endpoint_and_one_request_at_a_time(receiver: Receiver) -> None:
    under_way = most = 0

    async def dead(_request: web.Request) -> web.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.02)
        under_way -= 1
        return web.Response(status=503)

    receiver.answers["/"] = dead
    world = World()
    async with AsyncExitStack() as stack:
        for name in ("one", "two"):
            await stack.enter_async_context(world.instance(name))
        await world.pass_by(10)
        endpoint = await world.endpoint(receiver.url())
        await world.due(endpoint, DELIVERED)
        await world.pass_by(5)
        opened_after = len(receiver.arrivals)
        assert OPENS_AFTER <= opened_after < OPENS_AFTER + ENDPOINT_SLOTS  # those that had begun when it opened
        most = 0
        await world.pass_by(FIRST_PAUSE_SECONDS - 10)
        assert len(receiver.arrivals) == opened_after
        await world.pass_by(FIRST_PAUSE_SECONDS + 30)
        assert len(receiver.arrivals) == opened_after + 1
        await world.pass_by(2 * FIRST_PAUSE_SECONDS + 30)
        assert len(receiver.arrivals) == opened_after + 2
        assert most == 1
