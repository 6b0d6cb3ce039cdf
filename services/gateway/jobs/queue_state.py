"""The state of the queue that a job waits in, for `explain`: paused or not, how much waits, whether anybody works.

What nobody knows is None: neither the store nor Redis has to answer for a job to be explained.
"""

from dataclasses import dataclass

from services.gateway.catalogue.handlers import Handlers
from shared.cache.lanes import LaneBoard, LaneFigures
from shared.clock import Clock
from shared.errors import CacheUnavailable, Overloaded, Unavailable
from shared.messaging.topics import Names
from shared.models.job import Lane
from shared.storage.contract import QueueControls
from shared.storage.explanation import QueueState


@dataclass(frozen=True, slots=True)
class QueueStates:
    handlers: Handlers
    controls: QueueControls
    board: LaneBoard
    names: Names
    clock: Clock

    async def of_handler(self, handler: str, lane: Lane) -> QueueState | None:
        """Of the queue that a handler is on; None for one that is not announced, or on no queue of its own."""
        for entry in self.handlers.known:
            if entry.name == handler and entry.queue:
                return await self.of(entry.queue, lane)
        return None

    async def of(self, queue: str, lane: Lane) -> QueueState:
        figures = await self._figures(queue, lane)
        return QueueState(queue, await self._paused_at(queue), figures.backlog, figures.workers)

    async def _paused_at(self, queue: str) -> int | None:
        try:
            said = await self.controls.all()
        except (Unavailable, Overloaded):
            return None
        return next((control.paused_at for control in said if control.name == queue), None)

    async def _figures(self, queue: str, lane: Lane) -> LaneFigures:
        try:
            [found] = await self.board.figures([self.names.jobs(queue, lane)], at=self.clock.now())
        except (CacheUnavailable, Overloaded):
            return LaneFigures()
        return found
