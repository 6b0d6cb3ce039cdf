"""How one capacity is shared over lanes in the course of time."""

import pytest

from shared.messaging.lanes import Lane
from tests.unit.shared.messaging.workplace import BULK, INTERACTIVE, working

LANES = [Lane(INTERACTIVE, 4), Lane(BULK, 1)]


async def test_slots_stand_in_the_ratio_of_the_weights() -> None:
    backlog = {INTERACTIVE: 5_000, BULK: 5_000}
    async with working(LANES, {INTERACTIVE: 1.0, BULK: 1.0}, capacity=20, backlog=backlog) as (place, _):
        await place.clock.advance(30)
        assert place.running == {INTERACTIVE: 16, BULK: 4}
        assert place.ended.total() >= 0.95 * 20 * 29


@pytest.mark.parametrize(("interactive", "bulk"), [(0.1, 0.1), (0.05, 1.0), (1.0, 0.05)])
@pytest.mark.parametrize("capacity", [1, 2, 3])
async def test_few_slots_are_shared_by_time(capacity: int, interactive: float, bulk: float) -> None:
    seconds, backlog = {INTERACTIVE: interactive, BULK: bulk}, {INTERACTIVE: 3_000, BULK: 3_000}
    async with working(LANES, seconds, capacity=capacity, backlog=backlog) as (place, _):
        await place.clock.advance(40)
        used = {lane: place.ended[lane] * seconds[lane] for lane in seconds}
        assert used[INTERACTIVE] / sum(used.values()) == pytest.approx(0.8, abs=0.08)
        assert sum(used.values()) > 0.9 * 40 * capacity


@pytest.mark.parametrize("capacity", [1, 8])
async def test_one_lane_uses_everything_while_the_other_is_empty(capacity: int) -> None:
    async with working(LANES, {BULK: 0.5}, capacity=capacity, backlog={BULK: 2_000}) as (place, _):
        await place.clock.advance(60)
        assert place.ended[BULK] >= 0.9 * 60 / 0.5 * capacity


@pytest.mark.parametrize("capacity", [1, 10])
async def test_a_trickle_in_one_lane_does_not_hold_slots_from_the_other(capacity: int) -> None:
    seconds = {INTERACTIVE: 0.01, BULK: 0.5}
    async with working(LANES, seconds, capacity=capacity, backlog={BULK: 3_000}) as (place, _):
        for _ in range(60):
            await place.publish(INTERACTIVE)
            await place.clock.advance(0.7)
        assert place.ended[INTERACTIVE] >= 57
        assert place.ended[BULK] * 0.5 >= 0.85 * 60 * 0.7 * capacity


@pytest.mark.parametrize("capacity", [1, 2, 10])
async def test_a_person_waits_for_one_slot_and_not_for_the_batch(capacity: int) -> None:
    seconds = {INTERACTIVE: 0.1, BULK: 3.0}
    async with working(LANES, seconds, capacity=capacity, backlog={BULK: 500}) as (place, _):
        await place.clock.advance(10)
        waits = []
        for _ in range(10):
            sent_at = place.clock.monotonic()
            await place.publish(INTERACTIVE)
            await place.clock.advance(13.7)
            [begun] = [at for at, lane, _ in place.started if lane == INTERACTIVE and at >= sent_at]
            waits.append(begun - sent_at)
        assert max(waits) <= 3.0 + 0.2


async def test_capacity_is_never_exceeded() -> None:
    backlog = {INTERACTIVE: 100, BULK: 300}
    async with working(LANES, {INTERACTIVE: 0.02, BULK: 0.3}, capacity=7, backlog=backlog) as (place, _):
        for _ in range(40):
            await place.publish(INTERACTIVE, 9)
            await place.clock.advance(0.21)
        assert place.most_running == 7


async def test_what_comes_when_every_slot_is_taken_is_given_back_in_time_for_others() -> None:
    async with working(LANES, {INTERACTIVE: 0.1, BULK: 60.0}, capacity=1, backlog={}) as (place, consumer):
        await place.clock.advance(1)  # a pull of each lane listens by now
        await place.publish(BULK)
        await place.clock.advance(0.1)
        await place.publish(INTERACTIVE)
        await place.clock.advance(0.1)
        assert consumer.counters[INTERACTIVE].in_flight == 1
        await place.clock.advance(1.0)
        counters = consumer.counters[INTERACTIVE]
        assert (counters.in_flight, counters.released) == (0, 1)
        assert len(place.broker.take(INTERACTIVE, 10)) == 1


async def test_what_waits_gets_the_next_slot() -> None:
    async with working(LANES, {INTERACTIVE: 0.1, BULK: 0.5}, capacity=1, backlog={}) as (place, consumer):
        await place.clock.advance(1)
        await place.publish(BULK, 3)
        await place.clock.advance(0.01)
        await place.publish(INTERACTIVE)
        await place.clock.advance(0.5)
        assert [lane for _, lane, _ in place.started][:2] == [BULK, INTERACTIVE]
        assert consumer.counters[INTERACTIVE].released == 0
