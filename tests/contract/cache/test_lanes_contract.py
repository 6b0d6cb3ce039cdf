"""What `LaneJournal` and `LaneBoard` promise, in memory and on Redis."""

import itertools
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Protocol

import pytest

from shared.cache.lanes import (
    FLOW_SECONDS,
    LANE_TTL_SECONDS,
    QUIET_SECONDS,
    SILENT_SECONDS,
    WARM_SECONDS,
    Hold,
    LaneBoard,
    LaneFigures,
    LaneJournal,
    LaneReport,
    Totals,
)
from shared.cache.memory_lanes import MemoryLanes
from shared.cache.redis.connection import Connection
from shared.cache.redis.lanes import RedisLanes
from tests.contract.cache.cache_subject import connect

START = 1_767_225_600_000
NOBODY_KNOWS = LaneFigures()

_run = os.urandom(6).hex()
_numbers = itertools.count()


class Lanes(LaneJournal, LaneBoard, Protocol):
    """Both sides."""


@pytest.fixture
async def lanes(cache_url: str) -> AsyncIterator[Lanes]:
    if not cache_url:
        yield MemoryLanes()
        return
    async with connect(cache_url) as connection:
        yield RedisLanes(connection)


@dataclass
class Bench:
    """One lane, and a time that the test moves."""

    lanes: Lanes
    lane: str = field(default_factory=lambda: f"sluice-jobs-{_run}-{next(_numbers)}")
    at: int = START

    def later(self, seconds: float) -> None:
        self.at += round(seconds * 1_000)

    def process(self, name: str = "worker-1") -> "Process":
        return Process(self, name, self.at)

    async def figures(self) -> LaneFigures:
        [found] = await self.lanes.figures([self.lane], at=self.at)
        return found

    async def warm(self) -> "Process":
        """A worker that has found the lane empty: everything is known from here on."""
        worker = self.process()
        await worker.hold(empty=True)
        self.later(WARM_SECONDS)
        await worker.hold(empty=True)
        return worker


@dataclass
class Process:
    bench: Bench
    name: str
    started_at: int
    totals: Totals = Totals()
    published_from: int | None = None

    async def publish(self, count: int) -> None:
        self.totals = replace(self.totals, published=self.totals.published + count)
        await self._tell(LaneReport(self.bench.lane, self.totals, None, self.bench.at))

    async def take(self, pulled: int = 0, returned: int = 0, settled: int = 0, *, newest_at: int | None = None) -> None:
        before = self.totals
        self.totals = Totals(0, before.pulled + pulled, before.returned + returned, before.settled + settled)
        in_flight = self.totals.pulled - self.totals.returned - self.totals.settled
        await self.hold(in_flight, newest_at=newest_at)

    async def hold(
        self, in_flight: int = 0, *, oldest_at: int | None = None, newest_at: int | None = None, empty: bool = False
    ) -> None:
        hold = Hold(in_flight, oldest_at, newest_at, empty)
        await self._tell(LaneReport(self.bench.lane, self.totals, hold))

    async def _tell(self, report: LaneReport) -> None:
        await self.bench.lanes.tell(self.name, self.started_at, [report], at=self.bench.at)


@pytest.fixture
def bench(lanes: Lanes) -> Bench:
    return Bench(lanes)


async def test_of_a_lane_that_nobody_told_of_nothing_is_known(bench: Bench) -> None:
    assert await bench.figures() == NOBODY_KNOWS
    assert list(await bench.lanes.figures([], at=START)) == []


async def test_what_waits_is_unknown_until_a_worker_finds_the_lane_empty(bench: Bench) -> None:
    gateway, worker = bench.process("gateway-1"), bench.process()
    await gateway.publish(5)
    bench.later(WARM_SECONDS)
    await worker.hold()
    found = await bench.figures()
    assert (found.backlog, found.oldest_age_seconds) == (None, None)
    assert (found.in_flight, found.workers) == (0, 1)
    await worker.hold(empty=True)
    found = await bench.figures()
    assert (found.backlog, found.oldest_age_seconds) == (0, 0)


async def test_at_first_nobody_can_say_who_is_there(bench: Bench) -> None:
    await bench.process().hold(3)
    bench.later(WARM_SECONDS - 0.001)
    assert await bench.figures() == NOBODY_KNOWS
    bench.later(0.001)
    assert (await bench.figures()).in_flight == 3


async def test_messages_wait_until_they_are_pulled(bench: Bench) -> None:
    worker = await bench.warm()
    gateway, another = bench.process("gateway-1"), bench.process("gateway-2")
    await gateway.publish(5)
    await another.publish(2)
    assert (await bench.figures()).backlog == 7
    await worker.take(pulled=3)
    found = await bench.figures()
    assert (found.backlog, found.in_flight) == (4, 3)
    await worker.take(settled=2, returned=1)
    found = await bench.figures()
    assert (found.backlog, found.in_flight) == (5, 0)


async def test_telling_the_same_twice_changes_nothing(bench: Bench) -> None:
    worker = await bench.warm()
    gateway = bench.process("gateway-1")
    await gateway.publish(5)
    await worker.take(pulled=2)
    before = await bench.figures()
    for _ in range(3):
        await gateway.publish(0)
        await worker.take()
    assert await bench.figures() == before


async def test_a_report_that_was_lost_is_made_good_by_the_next(bench: Bench) -> None:
    await bench.warm()
    gateway = bench.process("gateway-1")
    await gateway.publish(1)
    gateway.totals = replace(gateway.totals, published=5)  # the report of these four never arrived
    await gateway.publish(1)
    assert (await bench.figures()).backlog == 6


async def test_the_age_is_that_of_the_oldest_in_flight_or_waiting(bench: Bench) -> None:
    worker = await bench.warm()
    another, gateway = bench.process("worker-2"), bench.process("gateway-1")
    published_at = bench.at
    await gateway.publish(3)
    bench.later(4)
    await worker.hold()
    assert (await bench.figures()).oldest_age_seconds == 4
    worker.totals = another.totals = Totals(pulled=1)
    await worker.hold(1, oldest_at=published_at + 1_000, newest_at=published_at + 1_000)
    await another.hold(1, oldest_at=published_at + 2_000, newest_at=published_at + 2_000)
    assert (await bench.figures()).oldest_age_seconds == 3  # in flight
    worker.totals = another.totals = Totals(pulled=1, settled=1)
    await worker.hold(newest_at=published_at + 1_000)
    await another.hold(newest_at=published_at + 2_000)
    assert (await bench.figures()).oldest_age_seconds == 2  # what waits is hardly older than what was pulled last
    worker.totals = Totals(pulled=2, settled=2)
    await worker.hold(newest_at=published_at + 2_500)
    assert (await bench.figures()).oldest_age_seconds == 0


async def test_an_age_starts_anew_when_the_lane_was_empty(bench: Bench) -> None:
    worker = await bench.warm()
    gateway = bench.process("gateway-1")
    await gateway.publish(1)
    await worker.take(pulled=1, settled=1, newest_at=bench.at)
    bench.later(3_600)
    await worker.hold(empty=True)
    await gateway.publish(1)
    bench.later(5)
    await worker.hold()
    assert (await bench.figures()).oldest_age_seconds == 5


async def test_rates_are_of_about_the_last_minute(bench: Bench) -> None:
    bench.at -= bench.at % (FLOW_SECONDS * 1_000)
    worker = await bench.warm()
    gateway = bench.process("gateway-1")
    for _ in range(60):
        bench.later(1)
        await gateway.publish(4)
        await worker.take(pulled=2, settled=2)
    found = await bench.figures()
    assert found.rate_in_per_second == pytest.approx(4, rel=0.1)
    assert found.rate_out_per_second == pytest.approx(2, rel=0.1)
    bench.later(75)
    await worker.hold()
    found = await bench.figures()
    assert (found.rate_in_per_second, found.rate_out_per_second) == (0, 0)


async def test_rates_of_a_young_record_are_over_its_age(bench: Bench) -> None:
    worker = bench.process()
    await worker.hold()
    await bench.process("gateway-1").publish(40)
    bench.later(20)
    assert (await bench.figures()).rate_in_per_second == 2


async def test_what_a_dead_worker_held_waits_again(bench: Bench) -> None:
    worker = await bench.warm()
    another, gateway = bench.process("worker-2"), bench.process("gateway-1")
    await gateway.publish(6)
    await worker.take(pulled=2)
    await another.take(pulled=3)
    bench.later(SILENT_SECONDS - 1)
    await worker.take()
    assert (await bench.figures()).workers == 2
    bench.later(1)
    found = await bench.figures()
    assert (found.workers, found.in_flight, found.backlog) == (1, 2, 4)
    await worker.take()
    assert await bench.figures() == found


async def test_a_worker_that_was_taken_for_dead_counts_again_when_it_is_back(bench: Bench) -> None:
    worker = await bench.warm()
    another, gateway = bench.process("worker-2"), bench.process("gateway-1")
    await gateway.publish(6)
    await another.take(pulled=3)
    bench.later(SILENT_SECONDS)
    await worker.take()
    assert (await bench.figures()).backlog == 6
    await another.take()
    found = await bench.figures()
    assert (found.workers, found.in_flight, found.backlog) == (2, 3, 3)


async def test_a_process_by_the_same_name_is_another_one(bench: Bench) -> None:
    worker = await bench.warm()
    gateway = bench.process("gateway-1")
    await gateway.publish(6)
    await worker.take(pulled=4, settled=1)
    bench.later(1)
    reborn = bench.process()
    await reborn.take(pulled=1)
    found = await bench.figures()
    assert (found.backlog, found.in_flight, found.workers) == (2 + 3 - 1, 1, 1)
    bench.later(1)
    await bench.process("gateway-1").publish(2)
    assert (await bench.figures()).backlog == 6


async def test_a_lane_is_not_empty_while_others_pull_from_it(bench: Bench) -> None:
    worker = await bench.warm()
    another, gateway = bench.process("worker-2"), bench.process("gateway-1")
    await gateway.publish(10)
    await another.take(pulled=1)
    bench.later(QUIET_SECONDS - 1)
    await worker.hold(empty=True)
    assert (await bench.figures()).backlog == 9
    bench.later(1)
    await worker.hold(empty=True)
    assert (await bench.figures()).backlog == 0


async def test_a_taker_may_tell_before_who_published(bench: Bench) -> None:
    worker = await bench.warm()
    await worker.take(pulled=5)
    found = await bench.figures()
    assert (found.backlog, found.in_flight) == (0, 5)
    await bench.process("gateway-1").publish(7)
    assert (await bench.figures()).backlog == 2


async def test_a_process_older_than_the_record_tells_only_what_is_new(bench: Bench) -> None:
    gateway = bench.process("gateway-1")
    gateway.totals = Totals(published=1_000)
    bench.later(60)
    await bench.warm()  # the record begins here: Redis was lost before
    await gateway.publish(1)
    assert (await bench.figures()).backlog == 0
    await gateway.publish(2)
    assert (await bench.figures()).backlog == 2


async def test_what_an_old_process_publishes_first_after_the_record_began_is_all_new(bench: Bench) -> None:
    gateway = bench.process("gateway-1")
    bench.later(60)
    await bench.warm()
    first = LaneReport(bench.lane, Totals(published=3), None, bench.at, started_at=bench.at)
    await gateway._tell(first)
    assert (await bench.figures()).backlog == 3


async def test_lanes_are_kept_apart(bench: Bench) -> None:
    await bench.warm()
    other = Bench(bench.lanes)
    await other.warm()
    await bench.process("gateway-1").publish(3)
    both = await bench.lanes.figures([other.lane, bench.lane, "unheard-of"], at=bench.at)
    assert [found.backlog for found in both] == [0, 3, None]


async def test_everything_in_redis_has_an_end(redis_url: str) -> None:
    async with connect(redis_url) as connection:
        bench = Bench(RedisLanes(connection))
        await bench.process("gateway-1").publish(1)
        keys = await connection.execute("KEYS", f"lane:{{{bench.lane}}}*")
        assert len(keys) == 2
        for key in keys:
            assert 0 < await connection.execute("TTL", key) <= LANE_TTL_SECONDS


@pytest.mark.parametrize("value", [b"nonsense", b"1 2 3"])
async def test_a_malformed_record_is_none(redis_url: str, value: bytes) -> None:
    async with connect(redis_url) as connection:
        bench = Bench(RedisLanes(connection))
        await _spoil(connection, f"lane:{{{bench.lane}}}", value)
        assert await bench.figures() == NOBODY_KNOWS


async def _spoil(connection: Connection, key: str, value: bytes) -> None:
    await connection.execute("HSET", key, "since", START, "waiting", 1, "known", 1, "front", 0, "p:w", value)
    await connection.execute("EXPIRE", key, 60)
