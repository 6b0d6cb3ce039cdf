"""What others made due is found within a second or two, whatever the store was like before."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from services.webhooks.deliver import PAGE, Deliverer
from services.webhooks.health import HealthBook
from services.webhooks.lanes import Limits, Turns
from services.webhooks.settings import Settings
from services.webhooks.shards import Shards
from shared.clock import ManualClock
from shared.config import Secret
from shared.models.delivery import Delivery
from shared.storage.contract import Stored, Version
from shared.storage.memory import MemoryDatabase
from shared.storage.memory_webhooks import MemoryDeliveries, MemoryHealths
from shared.storage.webhook_contract import DELIVERY_SHARDS

DEADLINE_SECONDS = 5.0
"""After which the store's adapter gives up."""
SOON_SECONDS = 2.2


class Slow(MemoryDeliveries):
    """What is due, from a store that may take its time over it."""

    def __init__(self, database: MemoryDatabase, clock: ManualClock) -> None:
        super().__init__(database)
        self._clock = clock
        self.seconds = 0.0
        self.asked = self.thorough = 0

    async def due(
        self, shards: Collection[int], *, since: int = 0, until: int, limit: int
    ) -> Sequence[Stored[Delivery]]:
        self.asked += 1
        self.thorough += not since
        await self._clock.sleep(self.seconds)
        return await super().due(shards, since=since, until=until, limit=limit)


class Everything:
    """A tenure without rivals."""

    shards = frozenset(range(DELIVERY_SHARDS))


@dataclass
class Bench:
    clock: ManualClock
    database: MemoryDatabase
    deliveries: Slow
    deliverer: Deliverer
    turns: Turns

    def delivery(self, name: str, *, due_at: int | None = None, tenant: str = "acme") -> Delivery:
        now = self.clock.now()
        return Delivery(
            id=f"dlv_{name}",
            tenant=tenant,
            message="msg_1",
            type="job.succeeded",
            endpoint=f"whk_{name}",
            subject="job_1",
            body=b"{}",
            created_at=now,
            expires_at=now + 86_400_000,
            due_at=now if due_at is None else due_at,
        )

    def waits(self, name: str) -> bool:
        """Whether it waits for its turn in memory."""
        lane = self.turns.lanes.get(f"whk_{name}")
        return lane is not None and lane.waiting == 1


@asynccontextmanager
async def looking(backlog: int = 5_000) -> AsyncIterator[Bench]:
    """A deliverer that holds every shard and looks at what is due. Nothing is sent."""
    clock = ManualClock()
    database = MemoryDatabase(clock)
    deliveries = Slow(database, clock)
    settings = Settings(id_keys=Secret(""), webhook_keys=Secret(""), backlog=backlog)
    turns = Turns(Limits())
    deliverer = Deliverer(
        settings,
        turns=turns,
        deliveries=deliveries,
        book=HealthBook(MemoryHealths(database), clock),
        clock=clock,
        chance=lambda: 0.5,
    )
    shards = Shards(Everything())
    task = asyncio.create_task(deliverer.look(shards))
    try:
        yield Bench(clock, database, deliveries, deliverer, turns)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_after_a_store_that_stood_still_what_is_due_is_found_at_once() -> None:
    async with looking() as b:
        b.deliveries.seconds = DEADLINE_SECONDS
        b.database.fail()
        await b.clock.advance(DEADLINE_SECONDS + 0.1)  # a look has failed by now
        b.deliveries.seconds = 0.0
        b.database.heal()
        await b.deliveries.create(b.delivery("one"))
        await b.clock.advance(SOON_SECONDS)
        assert b.waits("one")


async def test_after_a_look_that_took_long_the_next_comes_soon() -> None:
    async with looking() as b:
        b.deliveries.seconds = 3.0
        await b.clock.advance(3.6)
        b.deliveries.seconds = 0.0
        await b.clock.advance(SOON_SECONDS)
        await b.deliveries.create(b.delivery("one"))
        await b.clock.advance(SOON_SECONDS)
        assert b.waits("one")


async def test_while_looks_take_long_the_store_has_other_things_to_do() -> None:
    async with looking() as b:
        b.deliveries.seconds = 0.3
        await b.clock.advance(30.0)
        assert b.deliveries.thorough <= 11


async def test_what_waits_in_memory_hides_nothing_from_us() -> None:
    """More than a page of what is in memory is due in the store as well, for it has waited longer than a claim."""
    async with looking() as b:
        before = b.clock.now()
        await b.clock.advance(1.0)
        for n in range(PAGE + 100):
            await b.deliveries.create(b.delivery(f"early{n}", due_at=before))
        await b.clock.advance(5.0)
        assert sum(lane.waiting for lane in b.turns.lanes.values()) == PAGE + 100
        await b.deliveries.create(replace(b.delivery("late"), due_at=b.clock.now()))
        await b.clock.advance(SOON_SECONDS)
        assert b.waits("late")


async def test_what_waits_is_due_at_once_for_whoever_comes_next() -> None:
    async with looking() as b:
        await b.clock.advance(1.0)
        made = b.delivery("one", due_at=b.clock.now() + 30_000)
        version = await b.deliveries.create(made)
        assert isinstance(version, Version)
        await b.deliverer.first_due(made.endpoint, made.tenant, Shards(Everything()))
        b.deliverer.offer(Stored(made, version, version.updated_at), Shards(Everything()))
        assert b.waits("one")
        await b.deliverer.stop()
        await b.deliverer.give_back()
        stored = await b.deliveries.read(made.id)
        assert stored is not None
        assert stored.value.due_at == b.clock.now()


async def test_a_tenant_with_nothing_here_finds_room_however_much_others_have() -> None:
    async with looking(backlog=8) as b:
        for n in range(20):
            await b.deliveries.create(b.delivery(f"dead{n}", tenant=f"tenant{n % 3}"))
        await b.clock.advance(SOON_SECONDS)
        before = sum(lane.waiting for lane in b.turns.lanes.values())
        await b.deliveries.create(b.delivery("new", tenant="newcomer"))
        await b.clock.advance(SOON_SECONDS)
        assert b.waits("new")
        assert sum(lane.waiting for lane in b.turns.lanes.values()) == before
