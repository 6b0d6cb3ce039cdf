"""What waits in each queue, as metrics: for dashboards, for alerts, and for whatever scales workers by backlog.

Gateways, schedulers and workers tell Redis what they do to each lane; here that is read every few seconds and exposed.
The scheduler does it because few of it run, and always. What nobody knows has no series: an absent figure is not a
zero, on which somebody would scale workers away.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import Gauge

from shared.cache.lanes import LaneBoard, LaneFigures
from shared.clock import Clock
from shared.errors import Overloaded, Unavailable
from shared.messaging.topics import Names
from shared.models.handler import queues_of
from shared.models.job import Lane
from shared.models.queue import QueueControl
from shared.storage.contract import Catalogue, QueueControls
from shared.telemetry.metrics import (
    QUEUE_BACKLOG,
    QUEUE_IN_FLIGHT,
    QUEUE_OLDEST_AGE,
    QUEUE_PAUSED,
    QUEUE_WORKERS,
    Metrics,
)

_log = logging.getLogger("sluice.scheduler")


@dataclass(frozen=True, slots=True)
class Figures:
    catalogue: Catalogue
    controls: QueueControls
    board: LaneBoard
    names: Names
    clock: Clock
    gauges: "Gauges"

    async def follow(self, every_seconds: float) -> None:
        """Keep the gauges up to date until cancelled."""
        while True:
            try:
                await self.look()
            except (Unavailable, Overloaded) as fault:
                self.gauges.clear()
                _log.warning("the queues' figures cannot be read", extra={"fault": type(fault).__name__})
            await self.clock.sleep(every_seconds)

    async def look(self) -> None:
        """Read and expose once. Raises Unavailable, Overloaded."""
        said = {control.name: control for control in await self.controls.all()}
        queues = sorted(queues_of(await self.catalogue.entries()) | set(said))
        lanes = [(queue, lane) for queue in queues for lane in Lane]
        topics = [self.names.jobs(queue, lane) for queue, lane in lanes]
        found = await self.board.figures(topics, at=self.clock.now())
        self.gauges.show(lanes, found, [said.get(queue) or QueueControl(queue) for queue in queues])


class Gauges:
    def __init__(self, metrics: Metrics) -> None:
        self._backlog = metrics.gauge(QUEUE_BACKLOG)
        self._age = metrics.gauge(QUEUE_OLDEST_AGE)
        self._in_flight = metrics.gauge(QUEUE_IN_FLIGHT)
        self._workers = metrics.gauge(QUEUE_WORKERS)
        self._paused = metrics.gauge(QUEUE_PAUSED)

    def clear(self) -> None:
        """Say nothing, rather than what was."""
        for gauge in (self._backlog, self._age, self._in_flight, self._workers, self._paused):
            gauge.clear()

    def show(
        self, lanes: Sequence[tuple[str, Lane]], found: Sequence[LaneFigures], controls: Sequence[QueueControl]
    ) -> None:
        """These queues and no others. In one step: nobody reads the gauges in between."""
        self.clear()
        for (queue, lane), figures in zip(lanes, found, strict=True):
            _set(self._backlog, queue, lane, figures.backlog)
            _set(self._age, queue, lane, figures.oldest_age_seconds)
            _set(self._in_flight, queue, lane, figures.in_flight)
            _set(self._workers, queue, lane, figures.workers)
        for control in controls:
            self._paused.labels(control.name).set(int(control.paused))


def _set(gauge: Gauge, queue: str, lane: Lane, value: float | None) -> None:
    if value is not None:
        gauge.labels(queue, str(lane)).set(value)
