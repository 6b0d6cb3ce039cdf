"""The two brokers that the contract suite runs on, behind one face, and how a test receives from them."""

import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from deploy.admin import topology as admin
from shared.clock import SystemClock
from shared.messaging.contract import BulkPublisher, Delivery, Message, Source
from shared.messaging.memory import MemoryBroker, MemoryPublisher, MemorySource
from shared.messaging.pubsub import PubSubChannel, PubSubPublisher, PubSubSource
from shared.messaging.topics import Subscription, Topology

PROJECT: Final = "contract"
PATIENT: Final = 20.0
"""Seconds a step may take where its speed is not what is tested."""


def new_name() -> str:
    return f"t{os.urandom(8).hex()}"


def policy(topic: str, *, reader: str = "reader", dead_letter_topic: str | None = None) -> Subscription:
    """A subscription of `topic` without backoff, so that what is given back comes soon."""
    return Subscription(
        name=f"{topic}.{reader}",
        topic=topic,
        ack_deadline_seconds=10,
        minimum_backoff_seconds=0,
        maximum_backoff_seconds=0,
        dead_letter_topic=dead_letter_topic,
        max_delivery_attempts=5,
    )


@dataclass(frozen=True, slots=True)
class Subject:
    """One broker, through one publisher and one source."""

    publisher: BulkPublisher
    source: Source
    apply: Callable[[Topology], Awaitable[object]]

    async def new_lane(self) -> "LaneSubject":
        """A topic of its own with one subscription."""
        topic = new_name()
        found = policy(topic)
        await self.apply(Topology((topic,), (found,)))
        return LaneSubject(self, topic, found.name)


@dataclass(frozen=True, slots=True)
class LaneSubject:
    """A topic and its subscription."""

    subject: Subject
    topic: str
    subscription: str
    sent: list[bytes] = field(default_factory=list)

    async def publish(self, *bodies: bytes) -> None:
        for body in bodies:
            await self.subject.publisher.publish(self.topic, Message(body), timeout_seconds=PATIENT)

    async def receive(self, count: int = 1, *, within: float = PATIENT) -> list[Delivery]:
        """The next `count` deliveries. AssertionError when they have not come within so many seconds."""
        return await receive(self.subject.source, self.subscription, count, within=within)

    async def nothing_comes(self, *, for_seconds: float) -> None:
        """Asserts that no message is delivered for so long."""
        found = await self.subject.source.pull(self.subscription, limit=10, wait_seconds=for_seconds)
        assert [delivery.message.body for delivery in found] == []


async def receive(source: Source, subscription: str, count: int, *, within: float = PATIENT) -> list[Delivery]:
    clock = SystemClock()
    end = clock.monotonic() + within
    found: list[Delivery] = []
    while len(found) < count:
        assert clock.monotonic() < end, f"{len(found)} of {count} messages came within {within} s"
        found += await source.pull(subscription, limit=count - len(found), wait_seconds=1)
    return found


@asynccontextmanager
async def memory_subject() -> AsyncIterator[Subject]:
    clock = SystemClock()
    broker = MemoryBroker(clock)

    async def apply(topology: Topology) -> None:
        broker.apply(topology)

    yield Subject(MemoryPublisher(broker), MemorySource(broker, clock), apply)


@asynccontextmanager
async def pubsub_subject(address: str) -> AsyncIterator[Subject]:
    async def apply(topology: Topology) -> None:
        await admin.apply(topology, project=PROJECT, emulator=address)

    async with connected(address) as (publisher, source):
        yield Subject(publisher, source, apply)


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[tuple[PubSubPublisher, PubSubSource]]:
    """Adapters of their own on `address`, closed in order."""
    channel = PubSubChannel.open(PROJECT, emulator=address)
    draw = random.Random(7).random
    publisher, source = PubSubPublisher(channel, draw=draw), PubSubSource(channel, draw=draw)
    try:
        yield publisher, source
    finally:
        await publisher.aclose(deadline_seconds=1)
        await source.aclose()
        await channel.aclose()
