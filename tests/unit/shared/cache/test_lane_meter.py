"""Counting in memory: nothing is told twice over, and nothing that a lost cache missed is lost."""

from shared.cache.lane_meter import TELL_SECONDS, LaneMeter
from shared.cache.lanes import SILENT_SECONDS, WARM_SECONDS, Hold, LaneFigures, Totals
from shared.cache.memory_lanes import MemoryLanes
from shared.clock import ManualClock
from shared.lifecycle import running

LANE = "sluice-jobs-images-bulk"
EMPTY = Hold(0, empty=True)


class Bench:
    """A gateway's meter, and a worker that has found the lane empty."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.lanes = MemoryLanes()
        self.gateway = LaneMeter(self.lanes, "gateway-1", self.clock, lambda: 0.5)

    async def warm(self) -> None:
        for _ in range(2):
            worker = LaneMeter(self.lanes, "worker-1", self.clock, lambda: 0.5)
            worker.follow(LANE, lambda: (Totals(), EMPTY))
            await worker.tell()
            await self.clock.advance(WARM_SECONDS)

    async def figures(self) -> LaneFigures:
        [found] = await self.lanes.figures([LANE], at=self.clock.now())
        return found


async def test_what_is_published_is_told_at_the_next_turn() -> None:
    b = Bench()
    await b.warm()
    async with running(b.gateway.run()):
        await b.clock.advance(0)
        for _ in range(5):
            b.gateway.published(LANE)
        assert (await b.figures()).backlog == 0
        await b.clock.advance(TELL_SECONDS)
        assert (await b.figures()).backlog == 5
        b.gateway.published(LANE)
        await b.clock.advance(TELL_SECONDS)
        assert (await b.figures()).backlog == 6


async def test_the_first_word_counts_though_the_gateway_is_older_than_what_redis_keeps() -> None:
    b = Bench()
    await b.clock.advance(60)
    await b.warm()
    b.gateway.published(LANE)
    await b.gateway.tell()
    assert (await b.figures()).backlog == 1


async def test_the_last_word_is_told_when_a_process_ends() -> None:
    b = Bench()
    await b.warm()
    async with running(b.gateway.run()):
        await b.clock.advance(0)
        b.gateway.published(LANE)
    assert (await b.figures()).backlog == 1


async def test_a_cache_that_was_away_is_told_what_it_missed() -> None:
    b = Bench()
    await b.warm()
    b.gateway.published(LANE)
    await b.gateway.tell()
    b.lanes._stopped = True  # unreachable, and keeping what it has
    b.gateway.published(LANE)
    await b.gateway.tell()
    b.gateway.published(LANE)
    b.lanes.start()
    await b.gateway.tell()
    assert (await b.figures()).backlog == 3


async def test_the_age_is_from_the_first_that_was_not_told() -> None:
    b = Bench()
    await b.warm()
    b.gateway.published(LANE)
    await b.clock.advance(1.5)
    b.gateway.published(LANE)
    await b.clock.advance(0.5)
    await b.gateway.tell()
    assert (await b.figures()).oldest_age_seconds == 2


async def test_after_a_report_the_age_is_from_what_comes_next() -> None:
    b = Bench()
    await b.warm()
    worker = LaneMeter(b.lanes, "worker-1", b.clock, lambda: 0.5)
    worker.follow(LANE, lambda: (Totals(pulled=1, settled=1), Hold(0)))
    b.gateway.published(LANE)
    await b.gateway.tell()
    await b.clock.advance(100)
    await worker.tell()
    b.gateway.published(LANE)
    await b.clock.advance(1)
    await b.gateway.tell()
    assert (await b.figures()).oldest_age_seconds == 1


async def test_what_is_published_after_a_loss_counts_though_nothing_was_new_before() -> None:
    b = Bench()
    b.gateway.published(LANE)
    await b.gateway.tell()
    b.lanes.flush()
    await b.clock.advance(1)
    await b.gateway.tell()
    await b.warm()
    b.gateway.published(LANE)
    await b.gateway.tell()
    assert (await b.figures()).backlog == 1


async def test_a_taker_tells_every_time() -> None:
    b = Bench()
    worker = LaneMeter(b.lanes, "worker-1", b.clock, lambda: 0.5)
    worker.follow(LANE, lambda: (Totals(pulled=7, returned=1, settled=2), Hold(4)))
    async with running(worker.run()):
        await b.clock.advance(10 * SILENT_SECONDS)
        found = await b.figures()
    assert (found.workers, found.in_flight) == (1, 4)
