"""The consumer on the memory broker and on the real emulator."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from shared.clock import SystemClock
from shared.messaging.consumer import Consumer, Counters, Pace
from shared.messaging.contract import Acknowledge, Delivery, Handle, Redeliver, Verdict
from shared.messaging.lanes import Lane
from tests.contract.messaging.broker_subject import PATIENT, LaneSubject, Subject

QUICK = Pace(wait_seconds=0.4, backoff_seconds=0.05, backoff_cap_seconds=0.5)


@asynccontextmanager
async def consuming(
    subject: Subject, lanes: Sequence[Lane], handle: Handle, *, capacity: int = 8, pace: Pace = QUICK
) -> AsyncIterator[Consumer]:
    """A consumer at work; drained on leaving."""
    draw = random.Random(3).random
    consumer = Consumer(subject.source, lanes, handle, capacity=capacity, clock=SystemClock(), pace=pace, draw=draw)
    async with asyncio.TaskGroup() as group:
        group.create_task(consumer.run())
        try:
            yield consumer
        finally:
            await consumer.drain(deadline_seconds=2)


@dataclass
class Handler:
    """Says `verdict` of everything, once it is open, and remembers what it saw."""

    verdict: Verdict = Acknowledge()

    def __post_init__(self) -> None:
        self.started: list[Delivery] = []
        self.ended: list[Delivery] = []
        self.open = asyncio.Event()
        self.open.set()
        self._changed = asyncio.Condition()

    async def __call__(self, delivery: Delivery) -> Verdict:
        await self._note(self.started, delivery)
        await self.open.wait()
        await self._note(self.ended, delivery)
        return self.verdict

    async def until(self, ready: Callable[[], bool]) -> None:
        """Return once `ready`, which is looked at whenever a handling starts or ends."""
        async with asyncio.timeout(PATIENT), self._changed:
            await self._changed.wait_for(ready)

    @property
    def running(self) -> int:
        return len(self.started) - len(self.ended)

    async def _note(self, where: list[Delivery], delivery: Delivery) -> None:
        async with self._changed:
            where.append(delivery)
            self._changed.notify_all()


def bodies(deliveries: Sequence[Delivery]) -> set[bytes]:
    return {delivery.message.body for delivery in deliveries}


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


async def settled(counters: Counters, count: int) -> None:
    """Return once so many messages have been settled."""
    async with asyncio.timeout(PATIENT):
        while counters.acknowledged + counters.redelivered < count:
            await asyncio.sleep(0.01)


async def test_messages_are_handled_and_acknowledged(lane: LaneSubject) -> None:
    handler = Handler()
    await lane.publish(*numbered(50))
    async with consuming(lane.subject, [Lane(lane.subscription)], handler) as consumer:
        await handler.until(lambda: len(handler.ended) >= 50)
        await settled(consumer.counters[lane.subscription], 50)
    assert bodies(handler.ended) == set(numbered(50))
    counters = consumer.counters[lane.subscription]
    assert (counters.pulled, counters.acknowledged, counters.in_flight) == (50, 50, 0)
    await lane.nothing_comes(for_seconds=0.5)


async def test_no_more_is_handled_than_there_is_capacity_for(lane: LaneSubject) -> None:
    handler = Handler()
    handler.open.clear()
    await lane.publish(*numbered(40))
    async with consuming(lane.subject, [Lane(lane.subscription)], handler, capacity=5) as consumer:
        await handler.until(lambda: handler.running == 5)
        # Others can have what this one has no room for.
        assert len(await lane.receive(30)) == 30
        assert handler.running == 5
        assert consumer.counters[lane.subscription].pulled <= 5 + QUICK.pulls
        handler.open.set()


async def test_what_is_to_be_redelivered_comes_again_later(lane: LaneSubject) -> None:
    clock = SystemClock()
    handler = Handler(Redeliver(after_seconds=0.4))
    await lane.publish(b"x")
    async with consuming(lane.subject, [Lane(lane.subscription)], handler) as consumer:
        await handler.until(lambda: len(handler.started) == 1)
        first_at = clock.monotonic()
        await handler.until(lambda: len(handler.started) == 2)
        assert clock.monotonic() - first_at > 0.9  # whole seconds, rounded up
        handler.verdict = Acknowledge()
        await handler.until(lambda: len(handler.ended) == 3)
        await settled(consumer.counters[lane.subscription], 3)
    assert consumer.counters[lane.subscription].redelivered == 2


async def test_a_handle_that_raises_is_logged_and_its_message_comes_again(
    lane: LaneSubject, caplog: pytest.LogCaptureFixture
) -> None:
    seen: asyncio.Queue[Delivery] = asyncio.Queue()
    faults = [RuntimeError("boom"), asyncio.CancelledError("stray")]

    async def handle(delivery: Delivery) -> Verdict:
        seen.put_nowait(delivery)
        if faults:
            raise faults.pop(0)
        return Acknowledge()

    await lane.publish(b"secret")
    with caplog.at_level(logging.ERROR, "shared.messaging"):
        async with consuming(lane.subject, [Lane(lane.subscription)], handle) as consumer:
            async with asyncio.timeout(PATIENT):
                ids = [(await seen.get()).message_id for _ in range(3)]
            await settled(consumer.counters[lane.subscription], 3)
    assert len(set(ids)) == 1
    counters = consumer.counters[lane.subscription]
    assert (counters.faults, counters.acknowledged) == (2, 1)
    assert [record.exc_info is not None for record in caplog.records] == [True, True]
    assert "secret" not in caplog.text


async def test_leases_are_kept_while_a_message_is_handled(lane: LaneSubject) -> None:
    handler = Handler()
    handler.open.clear()
    await lane.publish(b"slow")
    pace = Pace(wait_seconds=0.4, lease_seconds=1)
    async with consuming(lane.subject, [Lane(lane.subscription)], handler, pace=pace) as consumer:
        await handler.until(lambda: handler.running == 1)
        await lane.nothing_comes(for_seconds=2.5)
        handler.open.set()
        await settled(consumer.counters[lane.subscription], 1)
    assert len(handler.started) == 1
    assert consumer.lease_failures == 0


async def test_capacity_is_shared_by_weight_while_both_lanes_have_work(subject: Subject) -> None:
    interactive, bulk = await subject.new_lane(), await subject.new_lane()
    handler = Handler()
    handler.open.clear()
    for lane in (interactive, bulk):
        await asyncio.gather(*(lane.publish(body) for body in numbered(60)))
    lanes = [Lane(interactive.subscription, 4), Lane(bulk.subscription, 1)]
    async with consuming(subject, lanes, handler, capacity=20):
        await handler.until(lambda: handler.running == 20)
        held = [delivery.subscription for delivery in handler.started]
        assert held.count(interactive.subscription) in range(14, 19)
        handler.open.set()


async def test_one_lane_has_all_capacity_while_the_other_is_empty(subject: Subject) -> None:
    interactive, bulk = await subject.new_lane(), await subject.new_lane()
    handler = Handler()
    handler.open.clear()
    await asyncio.gather(*(bulk.publish(body) for body in numbered(40)))
    lanes = [Lane(interactive.subscription, 4), Lane(bulk.subscription, 1)]
    async with consuming(subject, lanes, handler, capacity=20):
        await handler.until(lambda: handler.running == 20)
        handler.open.set()


async def test_two_lanes_share_a_single_slot(subject: Subject) -> None:
    one, other = await subject.new_lane(), await subject.new_lane()
    handler = Handler()
    await asyncio.gather(*(lane.publish(body) for lane in (one, other) for body in numbered(10)))
    async with consuming(subject, [Lane(one.subscription, 4), Lane(other.subscription)], handler, capacity=1):
        await handler.until(lambda: len(handler.ended) >= 20)
    assert {delivery.subscription for delivery in handler.ended} == {one.subscription, other.subscription}


async def test_draining_waits_for_what_is_handled(lane: LaneSubject) -> None:
    handler = Handler()
    handler.open.clear()
    await lane.publish(*numbered(3))
    async with consuming(lane.subject, [Lane(lane.subscription)], handler) as consumer:
        await handler.until(lambda: handler.running == 3)
        draining = asyncio.create_task(consumer.drain(deadline_seconds=PATIENT))
        await lane.publish(b"late")
        handler.open.set()
        async with asyncio.timeout(PATIENT):
            await draining
    assert bodies(handler.ended) == set(numbered(3))
    [late] = await lane.receive()
    assert late.message.body == b"late"


async def test_draining_gives_back_what_does_not_end_in_time(lane: LaneSubject) -> None:
    clock = SystemClock()
    handler = Handler()
    handler.open.clear()
    await lane.publish(*numbered(3))
    async with consuming(lane.subject, [Lane(lane.subscription)], handler) as consumer:
        await handler.until(lambda: handler.running == 3)
        before = clock.monotonic()
        await consumer.drain(deadline_seconds=0.2)
        assert clock.monotonic() - before < 2
    again = await lane.receive(3, within=5)
    assert bodies(again) == set(numbered(3))
    assert handler.ended == []
    assert consumer.counters[lane.subscription].released == 3


async def test_nothing_is_taken_after_stopping(lane: LaneSubject) -> None:
    handler = Handler()
    async with consuming(lane.subject, [Lane(lane.subscription)], handler) as consumer:
        consumer.stop_taking()
        await lane.publish(b"x")
        [delivery] = await lane.receive(within=8)
        await lane.subject.source.extend([delivery], seconds=0)
        assert handler.started == []
        consumer.resume_taking()
        await handler.until(lambda: len(handler.ended) == 1)


async def test_two_consumers_lose_nothing_between_them(lane: LaneSubject) -> None:
    one, other = Handler(), Handler()
    lanes = [Lane(lane.subscription)]
    count = 200
    async with consuming(lane.subject, lanes, one, capacity=4), consuming(lane.subject, lanes, other) as second:
        publishing: list[Awaitable[None]] = [lane.publish(body) for body in numbered(count)]
        await asyncio.gather(*publishing[: count // 2])
        await second.drain(deadline_seconds=2)
        await asyncio.gather(*publishing[count // 2 :])
        await one.until(lambda: bodies(one.ended + other.ended) == set(numbered(count)))
