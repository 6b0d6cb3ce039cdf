"""What operators say of queues reaches the consumers; what consumers see reaches the operators."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.worker import pausing
from services.worker.consume import Taking
from services.worker.lanes import meter_lanes
from shared.cache.lane_meter import LaneMeter
from shared.cache.lanes import QUIET_SECONDS, WARM_SECONDS, LaneFigures
from shared.cache.memory_lanes import MemoryLanes
from shared.clock import ManualClock
from shared.lifecycle import running
from shared.messaging import lanes
from shared.messaging.consumer import Consumer
from shared.messaging.contract import Acknowledge, Delivery, Message, Redeliver, Verdict
from shared.messaging.counting import CountingPublisher
from shared.messaging.memory import MemoryBroker, MemoryPublisher, MemorySource
from shared.messaging.topics import WORKER, Names, topology
from shared.models.job import Lane
from shared.models.queue import QueueControl
from shared.storage.memory import MemoryDatabase, MemoryQueueControls

QUEUES = ("images", "texts")
LOOK_SECONDS = 2.0
HANDLED_SECONDS = 1.0
NAMES = Names()


@dataclass
class Bench:
    clock: ManualClock
    database: MemoryDatabase
    controls: MemoryQueueControls
    taking: Taking
    publisher: CountingPublisher
    board: MemoryLanes
    handled: list[str]
    verdict: Verdict = Acknowledge()

    async def publish(self, queue: str, count: int = 1) -> None:
        for _ in range(count):
            await self.publisher.publish(NAMES.jobs(queue, Lane.BULK), Message(queue.encode()), timeout_seconds=1)

    async def figures(self, queue: str) -> LaneFigures:
        [found] = await self.board.figures([NAMES.jobs(queue, Lane.BULK)], at=self.clock.now())
        return found


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    clock = ManualClock()
    broker, database, board, handled = MemoryBroker(clock), MemoryDatabase(clock), MemoryLanes(), list[str]()
    broker.apply(topology(NAMES, QUEUES))
    controls = MemoryQueueControls(database)

    async def handle(delivery: Delivery) -> Verdict:
        await clock.sleep(HANDLED_SECONDS)
        handled.append(delivery.message.body.decode())
        return b.verdict

    def consumer(queue: str) -> Consumer:
        subscriptions = [lanes.Lane(NAMES.reader(NAMES.jobs(queue, lane), WORKER)) for lane in Lane]
        return Consumer(MemorySource(broker, clock), subscriptions, handle, capacity=4, clock=clock)

    taking = Taking({queue: consumer(queue) for queue in QUEUES})
    meter = LaneMeter(board, "worker-1", clock, lambda: 0.5)
    meter_lanes(meter, taking.consumers, NAMES)
    publisher = CountingPublisher(MemoryPublisher(broker), NAMES, meter.published)
    b = Bench(clock, database, controls, taking, publisher, board, handled)
    following = pausing.follow(controls, taking, clock, every_seconds=LOOK_SECONDS)
    async with running(following, meter.run()), taking.running():
        await clock.advance(WARM_SECONDS)
        yield b


async def test_a_paused_queue_is_left_alone_and_others_are_not() -> None:
    async with bench() as b:
        await b.controls.put(QueueControl("images", b.clock.now()))
        await b.clock.advance(LOOK_SECONDS)
        await b.publish("images")
        await b.publish("texts")
        await b.clock.advance(60)
        assert b.handled == ["texts"]
        found = await b.figures("images")
        assert (found.backlog, found.in_flight, found.workers) == (1, 0, 1)
        assert found.oldest_age_seconds == 60


async def test_a_queue_goes_on_where_it_stopped() -> None:
    async with bench() as b:
        await b.controls.put(QueueControl("images", b.clock.now()))
        await b.clock.advance(LOOK_SECONDS)
        await b.publish("images", 3)
        await b.clock.advance(60)
        await b.controls.put(QueueControl("images"))
        await b.clock.advance(LOOK_SECONDS + HANDLED_SECONDS + 1)
        assert b.handled == ["images"] * 3


async def test_what_runs_when_a_queue_is_paused_ends_as_ever() -> None:
    async with bench() as b:
        await b.publish("images")
        await b.clock.advance(0.1)
        b.taking.pause(["images"])
        await b.publish("images")
        await b.clock.advance(HANDLED_SECONDS)
        assert b.handled == ["images"]


async def test_a_store_that_does_not_answer_changes_nothing() -> None:
    async with bench() as b:
        await b.controls.put(QueueControl("images", b.clock.now()))
        await b.clock.advance(LOOK_SECONDS)
        b.database.fail()
        await b.publish("images")
        await b.publish("texts")
        await b.clock.advance(60)
        assert b.handled == ["texts"]


async def test_a_worker_that_leaves_takes_nothing_whatever_is_said() -> None:
    async with bench() as b:
        await b.controls.put(QueueControl("images", b.clock.now()))
        await b.clock.advance(LOOK_SECONDS)
        await b.taking.stop()
        await b.controls.put(QueueControl("images"))
        await b.publish("images")
        await b.clock.advance(60)
        assert b.handled == []


async def test_a_worker_that_starts_looks_before_it_takes() -> None:
    async with bench() as b:
        await b.controls.put(QueueControl("texts", b.clock.now()))
        await pausing.look(b.controls, b.taking)
        await b.publish("texts")
        await b.clock.advance(60)
        assert b.handled == []


async def test_what_is_in_flight_and_what_waits_are_told() -> None:
    async with bench() as b:
        assert (await b.figures("images")).backlog == 0
        await b.publish("images", 20)
        await b.clock.advance(3)
        found = await b.figures("images")
        assert found.in_flight == 4
        assert 0 < (found.backlog or 0) <= 16
        await b.clock.advance(20 + QUIET_SECONDS)
        found = await b.figures("images")
        assert (found.backlog, found.in_flight, found.oldest_age_seconds) == (0, 0, 0)
        assert found.rate_in_per_second == found.rate_out_per_second
        assert (await b.figures("texts")).rate_in_per_second == 0


async def test_what_is_given_back_waits_again() -> None:
    async with bench() as b:
        b.verdict = Redeliver(3_600)
        await b.publish("images", 2)
        await b.clock.advance(4)
        found = await b.figures("images")
        assert (found.backlog, found.in_flight) == (2, 0)
