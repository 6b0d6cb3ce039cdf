"""A broker in memory, with Pub/Sub's semantics as far as `contract` goes. For unit tests of services.

    broker = MemoryBroker(clock)
    broker.apply(topology(names, ["images"]))
    publisher, source = MemoryPublisher(broker), MemorySource(broker)

Every subscription of a topic gets each message; a lease that ends unacknowledged brings the message again, under a new
ack id; acknowledging by an old one does nothing; what was delivered too often goes to the dead letters. There are no
retry backoffs: what is given back is there at once. `outage` makes it fail the way a broker fails.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from shared.clock import Clock
from shared.errors import BrokerUnavailable, MessageRefused, PublishUnknown
from shared.messaging.contract import MAX_LEASE_SECONDS, Delivery, Message
from shared.messaging.limits import size_of
from shared.messaging.push import Pulled, PushTarget
from shared.messaging.topics import Subscription, Topology

DEAD_LETTER_SOURCE: Final = "CloudPubSubDeadLetterSourceSubscription"
DEAD_LETTER_COUNT: Final = "CloudPubSubDeadLetterSourceDeliveryCount"


class Outage(Enum):
    """How a broker fails."""

    UNREACHABLE = "unreachable"
    """Nothing is done, and callers learn so."""
    MUTE = "mute"
    """Everything is done, and no caller learns that it was."""


@dataclass(slots=True, eq=False)
class _Copy:
    """One subscription's copy of a message."""

    message_id: str
    message: Message
    published_at: int
    deliveries: int = 0


@dataclass(slots=True, eq=False)
class _Lease:
    copy: _Copy
    ends: float


@dataclass(slots=True, eq=False)
class _Queue:
    """One subscription: what is ready, and what is leased by ack id."""

    policy: Subscription
    ready: deque[_Copy] = field(default_factory=deque)
    leased: dict[str, _Lease] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def next_end(self) -> float | None:
        return min((lease.ends for lease in self.leased.values()), default=None)


class MemoryBroker:
    """Topics and subscriptions. Publishers and sources on it are as many connections."""

    def __init__(self, clock: Clock) -> None:
        self.outage: Outage | None = None
        self._clock = clock
        self._ids = itertools.count(1)
        self._topics: dict[str, list[_Queue]] = {}
        self._queues: dict[str, _Queue] = {}
        self.targets: dict[str, PushTarget | Pulled] = {}

    def apply(self, topology: Topology) -> None:
        """Create what is missing."""
        for topic in topology.topics:
            self._topics.setdefault(topic, [])
        for policy in topology.subscriptions:
            if policy.name not in self._queues:
                self._queues[policy.name] = queue = _Queue(policy)
                self._topics[policy.topic].append(queue)

    def point(self, subscription: str, target: PushTarget | Pulled) -> None:
        """Say where a subscription pushes to. Nothing is pushed here; what was said can be read."""
        self._queue(subscription)
        self.targets[subscription] = target

    def undelivered(self, subscription: str) -> list[Message]:
        """What a subscription has not acknowledged: ready first, then leased."""
        queue = self._queue(subscription)
        return [copy.message for copy in queue.ready] + [lease.copy.message for lease in queue.leased.values()]

    def accept(self, topic: str, message: Message) -> None:
        """What publishing does. Raises BrokerUnavailable or MessageRefused, as does every method below."""
        if topic not in self._topics:
            raise BrokerUnavailable(f"{topic} does not exist: apply the topology")
        if not message.body and not message.attributes:
            raise MessageRefused("a message needs a body or an attribute")
        message_id, published_at = str(next(self._ids)), self._clock.now()
        for queue in self._topics[topic]:
            queue.ready.append(_Copy(message_id, message, published_at))
            queue.changed.set()

    def take(self, subscription: str, limit: int) -> list[Delivery]:
        """Lease what is ready, up to `limit`."""
        queue = self._queue(subscription)
        self._end_leases(queue)
        return [self._deliver(queue, queue.ready.popleft()) for _ in range(min(limit, len(queue.ready)))]

    def settle(self, subscription: str, ack_id: str) -> None:
        """Forget the message, if its lease still stands."""
        queue = self._queue(subscription)
        self._end_leases(queue)
        queue.leased.pop(ack_id, None)

    def extend(self, subscription: str, ack_id: str, seconds: int) -> None:
        """End the lease in `seconds`, if it still stands."""
        queue = self._queue(subscription)
        self._end_leases(queue)
        if lease := queue.leased.get(ack_id):
            lease.ends = self._clock.monotonic() + seconds
            queue.changed.set()

    async def change(self, subscription: str, until: float) -> None:
        """Return when there may be something to take, or at `until` (monotonic seconds)."""
        queue = self._queue(subscription)
        queue.changed.clear()
        end = queue.next_end()
        seconds = (until if end is None else min(until, end)) - self._clock.monotonic()
        waits = {
            asyncio.create_task(queue.changed.wait(), name="memory subscription"),
            asyncio.create_task(self._clock.sleep(max(0.0, seconds)), name="memory lease"),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def _queue(self, subscription: str) -> _Queue:
        if subscription not in self._queues:
            raise BrokerUnavailable(f"{subscription} does not exist: apply the topology")
        return self._queues[subscription]

    def _deliver(self, queue: _Queue, copy: _Copy) -> Delivery:
        copy.deliveries += 1
        policy = queue.policy
        ack_id = f"{policy.name}:{next(self._ids)}"
        queue.leased[ack_id] = _Lease(copy, self._clock.monotonic() + policy.ack_deadline_seconds)
        return Delivery(
            subscription=policy.name,
            ack_id=ack_id,
            message_id=copy.message_id,
            message=copy.message,
            published_at=copy.published_at,
            delivery_attempt=copy.deliveries if policy.dead_letter_topic else 0,
        )

    def _end_leases(self, queue: _Queue) -> None:
        now = self._clock.monotonic()
        for ack_id in [ack_id for ack_id, lease in queue.leased.items() if lease.ends <= now]:
            copy = queue.leased.pop(ack_id).copy
            if queue.policy.dead_letter_topic and copy.deliveries >= queue.policy.max_delivery_attempts:
                self._bury(queue.policy, queue.policy.dead_letter_topic, copy)
            else:
                queue.ready.append(copy)

    def _bury(self, policy: Subscription, topic: str, copy: _Copy) -> None:
        found = {DEAD_LETTER_SOURCE: policy.name, DEAD_LETTER_COUNT: str(copy.deliveries)}
        self.accept(topic, Message(copy.message.body, {**copy.message.attributes, **found}))


class MemoryPublisher:
    """A `contract.BulkPublisher`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def publish(self, topic: str, message: Message, *, timeout_seconds: float) -> None:
        """As the Protocol says; an outage is noticed at once, without waiting for the time-out."""
        await self.publish_all(topic, [message], timeout_seconds=timeout_seconds)

    async def publish_all(self, topic: str, messages: Sequence[Message], *, timeout_seconds: float) -> None:
        """Likewise."""
        for message in messages:
            size_of(message)
        await asyncio.sleep(0)
        if timeout_seconds <= 0 or self._broker.outage is Outage.UNREACHABLE:
            raise BrokerUnavailable("not published")
        for message in messages:
            self._broker.accept(topic, message)
        if self._broker.outage is Outage.MUTE:
            raise PublishUnknown("not confirmed in time")


class MemorySource:
    """A `contract.Source`."""

    def __init__(self, broker: MemoryBroker, clock: Clock) -> None:
        self._broker = broker
        self._clock = clock

    async def pull(self, subscription: str, *, limit: int, wait_seconds: float) -> Sequence[Delivery]:
        until = self._clock.monotonic() + wait_seconds
        while True:
            async with self._call():
                found = self._broker.take(subscription, limit)
            if found or self._clock.monotonic() >= until:
                return found
            await self._broker.change(subscription, until)

    async def acknowledge(self, delivery: Delivery) -> None:
        async with self._call():
            self._broker.settle(delivery.subscription, delivery.ack_id)

    async def extend(self, deliveries: Sequence[Delivery], *, seconds: int) -> None:
        if not 0 <= seconds <= MAX_LEASE_SECONDS:
            raise ValueError(f"a lease of {seconds} s; 0 to {MAX_LEASE_SECONDS} can be asked for")
        async with self._call():
            for delivery in deliveries:
                self._broker.extend(delivery.subscription, delivery.ack_id, seconds)

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[None]:
        """Around what a call does: it takes a turn of the loop, and fails as the broker's outage has it."""
        await asyncio.sleep(0)
        if self._broker.outage is Outage.UNREACHABLE:
            raise BrokerUnavailable("the broker cannot be reached")
        yield
        if self._broker.outage is Outage.MUTE:
            raise BrokerUnavailable("the broker does not answer")


class MemoryPushSwitch:
    """A `contract.PushSwitch`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def point(self, subscription: str, target: PushTarget | Pulled) -> None:
        await asyncio.sleep(0)
        if self._broker.outage is not None:
            raise BrokerUnavailable("the broker cannot be reached")
        self._broker.point(subscription, target)
