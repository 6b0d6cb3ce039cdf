"""A consumer on the memory broker, with handles that take simulated time: hours of sharing pass in a moment."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from shared.clock import ManualClock
from shared.messaging.consumer import Consumer
from shared.messaging.contract import Acknowledge, Delivery, Message, Verdict
from shared.messaging.lanes import Lane
from shared.messaging.memory import MemoryBroker, MemoryPublisher, MemorySource
from shared.messaging.topics import Subscription, Topology

INTERACTIVE, BULK = "interactive", "bulk"


def lane_topology(names: Sequence[str]) -> Topology:
    """A topic and a subscription of each name."""
    return Topology(tuple(names), tuple(Subscription(name, name, 10, 0, 0) for name in names))


@dataclass
class Workplace:
    """One consumer, the messages it started and ended, and the means to give it more.

    seconds: how long a message of each lane is handled.
    """

    clock: ManualClock
    broker: MemoryBroker
    seconds: Mapping[str, float]
    started: list[tuple[float, str, bytes]] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    running: Counter[str] = field(default_factory=Counter)
    most_running: int = 0

    async def handle(self, delivery: Delivery) -> Verdict:
        name = delivery.subscription
        self.started.append((self.clock.monotonic(), name, delivery.message.body))
        self.running[name] += 1
        self.most_running = max(self.most_running, self.running.total())
        try:
            await self.clock.sleep(self.seconds[name])
        finally:
            self.running[name] -= 1
        self.ended[name] += 1
        return Acknowledge()

    async def publish(self, topic: str, count: int = 1, *, body: bytes = b"x") -> None:
        publisher = MemoryPublisher(self.broker)
        for _ in range(count):
            await publisher.publish(topic, Message(body), timeout_seconds=1)
        await self.clock.advance(0)


@asynccontextmanager
async def working(
    lanes: Sequence[Lane],
    seconds: Mapping[str, float],
    *,
    capacity: int,
    backlog: Mapping[str, int],
) -> AsyncIterator[tuple[Workplace, Consumer]]:
    """A consumer at work on lanes that hold `backlog` messages each. Ended hard on leaving."""
    clock = ManualClock()
    broker = MemoryBroker(clock)
    broker.apply(lane_topology([lane.subscription for lane in lanes]))
    place = Workplace(clock, broker, seconds)
    for topic, count in backlog.items():
        await place.publish(topic, count)
    source = MemorySource(broker, clock)
    draw = random.Random(5).random
    consumer = Consumer(source, lanes, place.handle, capacity=capacity, clock=clock, draw=draw)
    run = asyncio.create_task(consumer.run())
    try:
        await clock.advance(0)
        yield place, consumer
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
