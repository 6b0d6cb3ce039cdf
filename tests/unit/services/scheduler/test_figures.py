"""What waits, as metrics: what is known is shown, and what is not known is not shown as zero."""

import pytest

from services.scheduler.figures import Figures, Gauges
from shared.cache.lanes import WARM_SECONDS, Hold, LaneReport, Totals
from shared.cache.memory_lanes import MemoryLanes
from shared.clock import ManualClock
from shared.errors import CacheUnavailable
from shared.lifecycle import running
from shared.messaging.topics import Names
from shared.models.job import Lane
from shared.models.queue import QueueControl
from shared.storage.memory import MemoryCatalogue, MemoryDatabase, MemoryQueueControls
from shared.telemetry.metrics import Metrics

NAMES = Names("sluice")
LANE = NAMES.jobs("default", Lane.INTERACTIVE)


class Bench:
    def __init__(self) -> None:
        self.clock, self.lanes, self.metrics = ManualClock(), MemoryLanes(), Metrics()
        database = MemoryDatabase(self.clock)
        self.controls = MemoryQueueControls(database)
        gauges = Gauges(self.metrics)
        self.figures = Figures(MemoryCatalogue(database), self.controls, self.lanes, NAMES, self.clock, gauges)

    async def told(self) -> None:
        """Three messages were published, and one worker, which found the lane empty before, holds one of them."""
        start = self.clock.now()
        await self._tell("worker", start, Totals(), Hold(0, empty=True))
        await self._pass()
        await self._tell("worker", start, Totals(), Hold(0, empty=True))
        await self._tell("gateway", start, Totals(published=3), None)
        await self._tell("worker", start, Totals(pulled=1), Hold(1, oldest_at=self.clock.now()))

    async def _tell(self, process: str, started_at: int, totals: Totals, hold: Hold | None) -> None:
        report = LaneReport(LANE, totals, hold, self.clock.now() if totals.published else None)
        await self.lanes.tell(process, started_at, [report], at=self.clock.now())

    async def _pass(self) -> None:
        await self.clock.advance(WARM_SECONDS + 1)

    @property
    def shown(self) -> str:
        return self.metrics.expose().decode()


async def test_what_is_known_is_shown() -> None:
    bench = Bench()
    await bench.controls.put(QueueControl("default", 1))
    await bench.told()
    await bench.figures.look()
    assert 'sluice_queue_backlog{lane="interactive",queue="default"} 2.0' in bench.shown
    assert 'sluice_queue_in_flight{lane="interactive",queue="default"} 1.0' in bench.shown
    assert 'sluice_queue_workers{lane="interactive",queue="default"} 1.0' in bench.shown
    assert 'sluice_queue_paused{queue="default"} 1.0' in bench.shown


async def test_what_is_not_known_has_no_series() -> None:
    bench = Bench()
    await bench.controls.put(QueueControl("default"))
    await bench.told()
    await bench.figures.look()
    bench.lanes.flush()
    await bench.figures.look()
    assert "sluice_queue_backlog{" not in bench.shown
    assert 'sluice_queue_paused{queue="default"} 0.0' in bench.shown


async def test_what_was_known_is_not_shown_once_nobody_can_be_asked() -> None:
    bench = Bench()
    await bench.controls.put(QueueControl("default"))
    await bench.told()
    await bench.figures.look()
    bench.lanes.stop()
    with pytest.raises(CacheUnavailable):
        await bench.figures.look()
    async with running(bench.figures.follow(10)):
        await bench.clock.advance(1)
        assert "sluice_queue_" in bench.shown
        assert "} " not in "\n".join(line for line in bench.shown.splitlines() if line.startswith("sluice_queue"))
