"""A consumer's beginning and end, outages in between, and handles that misbehave."""

import asyncio
import logging
from collections.abc import Sequence

import pytest

from shared.clock import ManualClock
from shared.messaging.consumer import Consumer, Counters
from shared.messaging.contract import Acknowledge, Delivery, Handle, Message, Redeliver, Verdict
from shared.messaging.lanes import Lane
from shared.messaging.memory import MemoryBroker, MemoryPublisher, MemorySource, Outage
from tests.unit.shared.messaging.workplace import BULK, INTERACTIVE, lane_topology, working

LANES = [Lane(BULK)]


async def test_a_drained_consumer_ends_by_itself() -> None:
    clock = ManualClock()
    broker = MemoryBroker(clock)
    broker.apply(lane_topology([BULK]))
    consumer = Consumer(MemorySource(broker, clock), LANES, _acknowledge, capacity=1, clock=clock)
    run = asyncio.create_task(consumer.run())
    await clock.advance(1)
    drain = asyncio.create_task(consumer.drain(deadline_seconds=60))
    await clock.advance(3)  # what the pulls in flight wait for
    await drain
    await run


async def test_a_consumer_drained_before_it_ran_ends_at_once() -> None:
    clock = ManualClock()
    consumer = Consumer(MemorySource(MemoryBroker(clock), clock), LANES, _acknowledge, capacity=1, clock=clock)
    await consumer.drain(deadline_seconds=1)
    await consumer.run()


async def test_what_a_pull_brings_after_stopping_is_given_back_unhandled() -> None:
    async with working(LANES, {BULK: 1.0}, capacity=4, backlog={}) as (place, consumer):
        await place.clock.advance(0.5)
        consumer.stop_taking()
        await place.publish(BULK)
        await place.clock.advance(0.1)
        assert place.started == []
        assert consumer.counters[BULK].released in range(1, 5)  # as often as a pull still listened
        assert len(place.broker.take(BULK, 10)) == 1


async def test_what_waits_for_a_slot_is_given_back_when_stopping() -> None:
    lanes = [Lane(INTERACTIVE), Lane(BULK)]
    async with working(lanes, {INTERACTIVE: 1.0, BULK: 60.0}, capacity=1, backlog={}) as (place, consumer):
        await place.clock.advance(1)
        await place.publish(BULK)
        await place.publish(INTERACTIVE)
        assert consumer.counters[INTERACTIVE].in_flight == 1
        consumer.stop_taking()
        await place.clock.advance(0.01)
        assert consumer.counters[INTERACTIVE].in_flight == 0
        assert consumer.counters[BULK].in_flight == 1


async def test_a_message_is_handled_for_many_leases_by_one_handle() -> None:
    async with working(LANES, {BULK: 600.0}, capacity=4, backlog={BULK: 1}) as (place, _):
        await place.clock.advance(590)
        assert place.broker.take(BULK, 10) == []
        await place.clock.advance(20)
        assert place.broker.undelivered(BULK) == []
        assert len(place.started) == 1


async def test_an_outage_is_logged_once_and_asked_after_less_and_less_often(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "shared.messaging"):
        async with working(LANES, {BULK: 0.1}, capacity=4, backlog={}) as (place, consumer):
            place.broker.outage = Outage.UNREACHABLE
            await place.clock.advance(10)
            early = consumer.counters[BULK].pull_failures
            await place.clock.advance(100)
            later = consumer.counters[BULK].pull_failures - early
            place.broker.outage = None
            await place.publish(BULK)
            await place.clock.advance(10)
            assert place.ended[BULK] == 1
    assert early > 3
    assert later < 4 * 100
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_an_acknowledgement_that_fails_brings_the_message_again() -> None:
    async with working(LANES, {BULK: 1.0}, capacity=4, backlog={BULK: 1}) as (place, consumer):
        place.broker.outage = Outage.UNREACHABLE
        await place.clock.advance(2)
        assert consumer.counters[BULK].settle_failures == 1
        assert consumer.counters[BULK].in_flight == 0
        place.broker.outage = None
        await place.clock.advance(60)
        assert consumer.counters[BULK].acknowledged == 1
        assert len(place.started) == 2


async def test_a_handle_without_a_verdict_is_a_fault(caplog: pytest.LogCaptureFixture) -> None:
    async def handle(_: Delivery) -> Verdict:
        return None  # type: ignore[return-value]  # what is tested

    with caplog.at_level(logging.ERROR, "shared.messaging"):
        counters, source = await _consume_one(handle)
    assert source.moved == [1]
    assert (counters.faults, counters.acknowledged) == (1, 0)
    assert "no verdict" in caplog.text


@pytest.mark.parametrize(("asked", "granted"), [(-5.0, 0), (0.0, 0), (0.2, 1), (7.0, 7), (5_000.0, 600)])
async def test_redelivery_is_asked_for_in_whole_seconds_within_bounds(asked: float, granted: int) -> None:
    async def handle(_: Delivery) -> Verdict:
        return Redeliver(asked)

    counters, source = await _consume_one(handle)
    assert source.moved[0] == granted
    assert counters.redelivered >= 1


async def _acknowledge(_: Delivery) -> Verdict:
    return Acknowledge()


class _NotingSource(MemorySource):
    """Notes to how many seconds leases are moved."""

    def __init__(self, broker: MemoryBroker, clock: ManualClock) -> None:
        super().__init__(broker, clock)
        self.moved: list[int] = []

    async def extend(self, deliveries: Sequence[Delivery], *, seconds: int) -> None:
        self.moved.append(seconds)
        await super().extend(deliveries, seconds=seconds)


async def _consume_one(handle: Handle) -> tuple[Counters, _NotingSource]:
    """Give one message to `handle`, for half a second."""
    clock = ManualClock()
    broker = MemoryBroker(clock)
    broker.apply(lane_topology([BULK]))
    await MemoryPublisher(broker).publish(BULK, Message(b"x"), timeout_seconds=1)
    source = _NotingSource(broker, clock)
    consumer = Consumer(source, LANES, handle, capacity=1, clock=clock, draw=lambda: 0.9)
    run = asyncio.create_task(consumer.run())
    await clock.advance(0.5)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    return consumer.counters[BULK], source
