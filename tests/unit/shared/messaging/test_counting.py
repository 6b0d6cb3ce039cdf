"""What is published is counted once the broker has it, jobs alone; what a consumer sees of its lanes."""

import pytest

from shared.clock import ManualClock
from shared.errors import BrokerUnavailable
from shared.messaging.contract import Message
from shared.messaging.counting import CountingPublisher
from shared.messaging.lanes import Lane
from shared.messaging.memory import MemoryBroker, MemoryPublisher, Outage
from shared.messaging.topics import Names, topology
from shared.models import job
from tests.unit.shared.messaging.workplace import BULK, INTERACTIVE, working

NAMES = Names()
JOBS = NAMES.jobs("images", job.Lane.BULK)


async def test_jobs_are_counted_and_nothing_else() -> None:
    broker, counted = MemoryBroker(ManualClock()), list[str]()
    broker.apply(topology(NAMES, ["images"]))
    publisher = CountingPublisher(MemoryPublisher(broker), NAMES, counted.append)
    for topic in (JOBS, NAMES.events, NAMES.dead("images", job.Lane.BULK), JOBS):
        await publisher.publish(topic, Message(b"1"), timeout_seconds=1)
    assert counted == [JOBS, JOBS]
    for topic in (JOBS, NAMES.events):
        await publisher.publish_all(topic, [Message(b"1")] * 3, timeout_seconds=1)
    assert counted == [JOBS] * 5


async def test_what_the_broker_did_not_take_is_not_counted() -> None:
    broker, counted = MemoryBroker(ManualClock()), list[str]()
    broker.apply(topology(NAMES, ["images"]))
    publisher = CountingPublisher(MemoryPublisher(broker), NAMES, counted.append)
    broker.outage = Outage.UNREACHABLE
    with pytest.raises(BrokerUnavailable):
        await publisher.publish(JOBS, Message(b"1"), timeout_seconds=1)
    assert counted == []


async def test_pulls_that_bring_nothing_are_idle_and_those_that_bring_something_are_not() -> None:
    lanes = [Lane(INTERACTIVE), Lane(BULK)]
    async with working(lanes, {INTERACTIVE: 1.0, BULK: 1.0}, capacity=4, backlog={BULK: 200}) as (place, consumer):
        await place.clock.advance(20)
        assert consumer.counters[BULK].idle_pulls == 0
        assert consumer.counters[INTERACTIVE].idle_pulls >= 5
        await place.clock.advance(200)
        assert consumer.counters[BULK].idle_pulls >= 5


async def test_the_oldest_held_and_the_newest_pulled_are_known_by_their_publish_times() -> None:
    async with working([Lane(BULK)], {BULK: 10.0}, capacity=4, backlog={}) as (place, consumer):
        assert (consumer.oldest_at(BULK), consumer.counters[BULK].newest_at) == (None, 0)
        first = place.clock.now()
        await place.publish(BULK)
        await place.clock.advance(5)
        await place.publish(BULK)
        await place.clock.advance(1)
        assert (consumer.oldest_at(BULK), consumer.counters[BULK].newest_at) == (first, first + 5_000)
        await place.clock.advance(5)
        assert (consumer.oldest_at(BULK), consumer.counters[BULK].newest_at) == (first + 5_000, first + 5_000)
        await place.clock.advance(20)
        assert consumer.oldest_at(BULK) is None
        assert consumer.oldest_at(INTERACTIVE) is None
