"""Shards among several schedulers: each has one holder at most, and none for long no holder."""

from collections.abc import Sequence

from shared.errors import CommitUnknown
from shared.storage.contract import TIMER_SHARDS
from shared.storage.shard_leases import TIMERS
from shared.tenure.tenure import BEATS
from tests.unit.services.scheduler.bench import EVERY_SHARD, LEASE_SECONDS, Bench, Scheduler, bench

BEAT = LEASE_SECONDS / BEATS
NAMES = [f"timer-{n}" for n in range(200)]


def shards_of(schedulers: Sequence[Scheduler]) -> list[list[int]]:
    return [sorted(each.tenure.shards) for each in schedulers]


def alone(*schedulers: Scheduler) -> bool:
    """Whether no shard has two holders."""
    found = [shard for each in schedulers for shard in each.tenure.shards]
    return len(found) == len(set(found))


async def watched(b: Bench, seconds: float, *schedulers: Scheduler) -> None:
    """Let time pass in small steps, in none of which a shard has two holders."""
    for _ in range(round(seconds / 0.1)):
        await b.clock.advance(0.1)
        assert alone(*(schedulers or b.schedulers)), shards_of(b.schedulers)


async def test_one_scheduler_has_everything_at_once() -> None:
    async with bench(1) as b:
        await b.clock.advance(0.1)
        assert b.schedulers[0].tenure.shards == EVERY_SHARD
        await watched(b, 60)
        assert b.schedulers[0].tenure.shards == EVERY_SHARD


async def test_several_come_to_share_evenly_without_ever_holding_the_same() -> None:
    async with bench(1) as b:
        await b.clock.advance(5)
        for count in (2, 3):
            b.start()
            await watched(b, 3 * BEAT)
            sizes = sorted(len(each.tenure.shards) for each in b.schedulers)
            assert sum(sizes) == TIMER_SHARDS
            assert sizes[-1] - sizes[0] <= 1
            assert len(b.schedulers) == count


async def test_several_that_start_at_once_share_as_well() -> None:
    async with bench(3) as b:
        await watched(b, LEASE_SECONDS)
        assert sorted(len(each.tenure.shards) for each in b.schedulers) == [5, 5, 6]


async def test_the_shards_of_a_killed_scheduler_go_to_the_other_once_its_lease_has_lapsed() -> None:
    async with bench(2) as b:
        await watched(b, 10)
        one, other = b.schedulers
        await one.kill()
        await b.clock.advance(BEAT)
        assert other.tenure.shards != EVERY_SHARD  # it may only be slow
        await b.clock.advance(LEASE_SECONDS)
        assert other.tenure.shards == EVERY_SHARD


async def test_one_that_hands_over_is_followed_with_the_next_beat() -> None:
    async with bench(2) as b:
        await watched(b, 10)
        one, other = b.schedulers
        await one.drain()
        await one.kill()
        await b.clock.advance(BEAT)
        assert other.tenure.shards == EVERY_SHARD


async def test_a_frozen_scheduler_has_nothing_when_it_thaws_and_shares_again() -> None:
    async with bench(2) as b:
        await watched(b, 10)
        one, other = b.schedulers
        one.wire.moving.clear()
        await watched(b, 2 * LEASE_SECONDS)
        assert (one.tenure.shards, other.tenure.shards) == (frozenset(), EVERY_SHARD)
        one.wire.moving.set()
        await watched(b, 2 * LEASE_SECONDS)
        assert sorted(len(each.tenure.shards) for each in b.schedulers) == [8, 8]


async def test_it_stops_trusting_its_lease_before_others_may() -> None:
    async with bench(1) as b:
        await b.clock.advance(10 * BEAT)
        b.database.fail()
        had = 0.0
        while b.schedulers[0].tenure.shards:
            await b.clock.advance(0.1)
            had += 0.1
        assert LEASE_SECONDS - BEAT - 1.5 < had < LEASE_SECONDS
        b.database.heal()
        await b.clock.advance(2 * LEASE_SECONDS)
        assert b.schedulers[0].tenure.shards == EVERY_SHARD


async def test_answers_that_are_lost_for_a_moment_cost_no_shard() -> None:
    async with bench(2) as b:
        await watched(b, 10)
        before = shards_of(b.schedulers)
        b.schedulers[0].wire.lost = CommitUnknown("lost")
        await watched(b, BEAT)
        b.schedulers[0].wire.lost = None
        for _ in range(round(LEASE_SECONDS / 0.1)):
            await b.clock.advance(0.1)
            assert shards_of(b.schedulers) == before


async def test_what_is_given_up_is_left_alone_before_the_other_hears_of_it() -> None:
    """The allotment is changed, and its giver has no answer yet."""
    async with bench(1) as b:
        await b.clock.advance(5)
        b.schedulers[0].wire.answering.clear()
        b.start()
        await watched(b, 2 * BEAT)
        assert len(b.schedulers[1].tenure.shards) == TIMER_SHARDS // 2
        b.schedulers[0].wire.answering.set()
        await watched(b, 2 * BEAT)
        assert sorted(len(each.tenure.shards) for each in b.schedulers) == [8, 8]


async def test_what_is_left_of_the_dead_is_put_away() -> None:
    async with bench(2) as b:
        await watched(b, 5)
        await b.schedulers[0].kill()
        await b.clock.advance(12 * LEASE_SECONDS)
        assert [stored[0].instance for stored in b.database.terms(TIMERS).documents.values()] == ["scheduler-1"]


async def test_with_several_schedulers_each_timer_is_released_once() -> None:
    async with bench(3) as b:
        await watched(b, 10)
        await b.add(*NAMES, in_seconds=3)
        await b.clock.advance(5)
        assert sorted(b.topic.names) == sorted(NAMES)
        assert b.left == 0


async def test_the_timers_of_a_killed_scheduler_are_released_by_the_other() -> None:
    async with bench(2) as b:
        await watched(b, 10)
        due = await b.add(*NAMES, in_seconds=2)
        await b.schedulers[0].kill()
        await b.clock.advance(2 + LEASE_SECONDS + 2 * BEAT)
        assert sorted(b.topic.names) == sorted(NAMES)
        assert max(at for _, at in b.topic.came) - due <= (LEASE_SECONDS + BEAT) * 1_000


async def test_the_timers_of_a_frozen_scheduler_are_released_by_the_other_and_not_again() -> None:
    async with bench(2) as b:
        await watched(b, 10)
        b.schedulers[0].wire.moving.clear()
        await b.clock.advance(LEASE_SECONDS)
        await b.add(*NAMES, in_seconds=1)
        await b.clock.advance(LEASE_SECONDS)
        b.schedulers[0].wire.moving.set()
        await b.clock.advance(LEASE_SECONDS)
        assert sorted(b.topic.names) == sorted(NAMES)
