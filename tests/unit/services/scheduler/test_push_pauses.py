"""Paused queues are pushed nowhere, and pushed again when they go on, whatever fails in between."""

from dataclasses import dataclass

import pytest

from services.scheduler.push_pauses import AGAIN_SECONDS, PushPauses
from shared.clock import ManualClock
from shared.lifecycle import running
from shared.messaging.memory import MemoryBroker, MemoryPushSwitch, Outage
from shared.messaging.push import Pulled, PushPlan, PushTarget
from shared.messaging.topics import WORKER, Names, topology
from shared.models.job import Lane
from shared.models.queue import QueueControl
from shared.storage.memory import MemoryDatabase, MemoryQueueControls

LOOK_SECONDS = 2.0
NAMES = Names()
PLAN = PushPlan("https://{queue}.example/", "pusher@project.example", queues=("images", "texts"))
QUEUES = ("images", "texts", "pulled")


@dataclass
class Bench:
    clock: ManualClock
    database: MemoryDatabase
    broker: MemoryBroker
    controls: MemoryQueueControls
    pauses: PushPauses

    def targets(self, queue: str) -> list[PushTarget | Pulled | None]:
        """Of both lanes; None: nothing was said."""
        return [self.broker.targets.get(NAMES.reader(NAMES.jobs(queue, lane), WORKER)) for lane in Lane]

    async def say(self, queue: str, *, paused: bool) -> None:
        await self.controls.put(QueueControl(queue, self.clock.now() if paused else None))
        await self.clock.advance(LOOK_SECONDS)


@pytest.fixture
def b() -> Bench:
    clock = ManualClock()
    database, broker = MemoryDatabase(clock), MemoryBroker(clock)
    broker.apply(topology(NAMES, QUEUES))
    controls = MemoryQueueControls(database)
    return Bench(clock, database, broker, controls, PushPauses(controls, MemoryPushSwitch(broker), PLAN, NAMES, clock))


def pushed(queue: str) -> list[PushTarget]:
    address = f"https://{queue}.example"
    return [PushTarget(f"{address}/push/{queue}/{lane}", "pusher@project.example", address) for lane in Lane]


async def test_a_paused_queue_is_pushed_nowhere_until_it_goes_on(b: Bench) -> None:
    async with running(b.pauses.follow(every_seconds=LOOK_SECONDS)):
        await b.say("images", paused=True)
        assert b.targets("images") == [Pulled(), Pulled()]
        assert b.targets("texts") == [None, None]
        await b.say("images", paused=False)
        assert b.targets("images") == pushed("images")


async def test_queues_that_are_pulled_are_left_alone(b: Bench) -> None:
    async with running(b.pauses.follow(every_seconds=LOOK_SECONDS)):
        await b.say("pulled", paused=True)
        assert b.targets("pulled") == [None, None]


async def test_a_scheduler_that_starts_finds_out_what_was_said_while_none_was_there(b: Bench) -> None:
    await b.say("images", paused=True)
    await b.say("texts", paused=False)
    await b.pauses.look()
    assert b.targets("images") == [Pulled(), Pulled()]
    assert b.targets("texts") == pushed("texts")


async def test_nothing_is_done_again_for_nothing(b: Bench) -> None:
    async with running(b.pauses.follow(every_seconds=LOOK_SECONDS)):
        await b.say("images", paused=False)
        b.broker.targets.clear()
        await b.clock.advance(10 * AGAIN_SECONDS)
        assert b.targets("images") == [None, None]


async def test_a_paused_queue_that_somebody_switched_on_is_switched_off_again(b: Bench) -> None:
    async with running(b.pauses.follow(every_seconds=LOOK_SECONDS)):
        await b.say("images", paused=True)
        b.broker.targets.clear()
        await b.clock.advance(AGAIN_SECONDS + LOOK_SECONDS)
        assert b.targets("images") == [Pulled(), Pulled()]


async def test_what_fails_is_tried_again(b: Bench) -> None:
    async with running(b.pauses.follow(every_seconds=LOOK_SECONDS)):
        b.broker.outage = Outage.UNREACHABLE
        await b.say("images", paused=True)
        assert b.targets("images") == [None, None]
        b.broker.outage = None
        await b.clock.advance(LOOK_SECONDS)
        assert b.targets("images") == [Pulled(), Pulled()]


async def test_a_queue_that_does_not_exist_holds_up_no_other(b: Bench) -> None:
    b.broker._queues.pop(NAMES.reader(NAMES.jobs("images", Lane.INTERACTIVE), WORKER))
    await b.say("images", paused=True)
    await b.say("texts", paused=True)
    await b.pauses.look()
    assert b.targets("texts") == [Pulled(), Pulled()]


async def test_a_store_that_does_not_answer_changes_nothing(b: Bench) -> None:
    async with running(b.pauses.follow(every_seconds=LOOK_SECONDS)):
        await b.say("images", paused=True)
        b.database.fail()
        await b.clock.advance(LOOK_SECONDS)
        assert b.targets("images") == [Pulled(), Pulled()]
