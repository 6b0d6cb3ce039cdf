"""The memory broker's clockwork: what the contract suite cannot show without waiting."""

import asyncio

import pytest

from shared.clock import ManualClock
from shared.errors import BrokerUnavailable, PublishUnknown
from shared.messaging.contract import Message
from shared.messaging.memory import MemoryBroker, MemoryPublisher, MemorySource, Outage
from shared.messaging.topics import Names, topology
from shared.models.job import Lane
from tests.unit.shared.messaging.workplace import lane_topology


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def broker(clock: ManualClock) -> MemoryBroker:
    broker = MemoryBroker(clock)
    broker.apply(lane_topology(["t"]))
    return broker


@pytest.fixture
def source(broker: MemoryBroker, clock: ManualClock) -> MemorySource:
    return MemorySource(broker, clock)


@pytest.fixture
def publisher(broker: MemoryBroker) -> MemoryPublisher:
    return MemoryPublisher(broker)


async def test_a_waiting_pull_gets_what_a_lapsing_lease_sets_free(
    clock: ManualClock, publisher: MemoryPublisher, source: MemorySource
) -> None:
    await publisher.publish("t", Message(b"x"), timeout_seconds=1)
    [first] = await source.pull("t", limit=1, wait_seconds=0)
    waiting = asyncio.create_task(source.pull("t", limit=1, wait_seconds=60))
    await clock.advance(0)
    await clock.advance(9.9)
    assert not waiting.done()
    await clock.advance(0.2)
    [second] = await waiting
    assert (second.message_id, second.ack_id) != (first.message_id, first.ack_id)
    assert second.message_id == first.message_id


async def test_a_pull_ends_empty_when_its_time_is_up(clock: ManualClock, source: MemorySource) -> None:
    waiting = asyncio.create_task(source.pull("t", limit=1, wait_seconds=5))
    await clock.advance(0)
    await clock.advance(4.9)
    assert not waiting.done()
    await clock.advance(0.2)
    assert list(await waiting) == []


async def test_an_unreachable_broker_does_nothing(
    broker: MemoryBroker, publisher: MemoryPublisher, source: MemorySource
) -> None:
    broker.outage = Outage.UNREACHABLE
    with pytest.raises(BrokerUnavailable) as caught:
        await publisher.publish("t", Message(b"x"), timeout_seconds=1)
    assert not isinstance(caught.value, PublishUnknown)
    with pytest.raises(BrokerUnavailable):
        await source.pull("t", limit=1, wait_seconds=1)
    broker.outage = None
    assert broker.undelivered("t") == []


async def test_a_mute_broker_does_everything_and_says_nothing(
    broker: MemoryBroker, publisher: MemoryPublisher, source: MemorySource, clock: ManualClock
) -> None:
    broker.outage = Outage.MUTE
    with pytest.raises(PublishUnknown):
        await publisher.publish("t", Message(b"x"), timeout_seconds=1)
    broker.outage = None
    assert [message.body for message in broker.undelivered("t")] == [b"x"]
    [delivery] = await source.pull("t", limit=1, wait_seconds=0)
    broker.outage = Outage.MUTE
    with pytest.raises(BrokerUnavailable):
        await source.acknowledge(delivery)
    assert broker.undelivered("t") == []


async def test_applying_twice_loses_nothing(broker: MemoryBroker, publisher: MemoryPublisher) -> None:
    await publisher.publish("t", Message(b"x"), timeout_seconds=1)
    broker.apply(lane_topology(["t", "other"]))
    assert [message.body for message in broker.undelivered("t")] == [b"x"]


async def test_it_takes_the_topology_of_sluice(broker: MemoryBroker, publisher: MemoryPublisher) -> None:
    names = Names()
    broker.apply(topology(names, ["images"]))
    jobs = names.jobs("images", Lane.BULK)
    await publisher.publish(jobs, Message(b"x"), timeout_seconds=1)
    assert len(broker.undelivered(names.reader(jobs, "worker"))) == 1
