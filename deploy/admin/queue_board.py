"""Queues, as an operator handles them from a terminal: what waits in each, and whether workers take from it.

Straight in the store and in Redis, so that it works while no gateway does. Behind `sluice-admin queues`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.cache.lanes import LaneBoard, LaneFigures
from shared.clock import Clock, rfc3339
from shared.errors import CacheUnavailable, Overloaded, SluiceError
from shared.messaging.topics import Names
from shared.models.handler import queues_of
from shared.models.job import Lane
from shared.models.queue import QueueControl
from shared.storage.contract import Catalogue, QueueControls


class QueueNotFound(SluiceError):
    """No handler is on the queue, and nobody has ever paused it."""


@dataclass(frozen=True, slots=True)
class QueueBoard:
    catalogue: Catalogue
    controls: QueueControls
    board: LaneBoard
    names: Names
    clock: Clock

    async def all(self) -> list[dict[str, Any]]:
        """Each lane of each queue. What nobody knows is None, as everything is while Redis is away.

        Raises StoreUnavailable.
        """
        queues = await self.known()
        lanes = [(control, lane) for control in queues for lane in Lane]
        found = await self._figures([self.names.jobs(control.name, lane) for control, lane in lanes])
        return [_shown(control, lane, figures) for (control, lane), figures in zip(lanes, found, strict=True)]

    async def pause(self, name: str) -> QueueControl:
        """Raises QueueNotFound, StoreUnavailable."""
        control = await self._one(name)
        return control if control.paused else await self._said(QueueControl(name, self.clock.now()))

    async def resume(self, name: str) -> QueueControl:
        """Raises QueueNotFound, StoreUnavailable."""
        control = await self._one(name)
        return await self._said(QueueControl(name)) if control.paused else control

    async def known(self) -> Sequence[QueueControl]:
        """Every queue that a handler is on or of which something was said, by name. Raises StoreUnavailable."""
        said = {control.name: control for control in await self.controls.all()}
        names = queues_of(await self.catalogue.entries()) | set(said)
        return [said.get(name) or QueueControl(name) for name in sorted(names)]

    async def _one(self, name: str) -> QueueControl:
        queues = await self.known()
        for control in queues:
            if control.name == name:
                return control
        there = ", ".join(control.name for control in queues) or "none"
        raise QueueNotFound(f"there is no queue {name}; there are: {there}")

    async def _said(self, control: QueueControl) -> QueueControl:
        await self.controls.put(control)
        return control

    async def _figures(self, lanes: Sequence[str]) -> Sequence[LaneFigures]:
        try:
            return await self.board.figures(lanes, at=self.clock.now())
        except (CacheUnavailable, Overloaded):
            return [LaneFigures()] * len(lanes)


def shown_control(control: QueueControl) -> dict[str, Any]:
    return {
        "name": control.name,
        "paused": control.paused,
        "paused_at": None if control.paused_at is None else rfc3339(control.paused_at),
    }


def _shown(control: QueueControl, lane: Lane, found: LaneFigures) -> dict[str, Any]:
    return {
        **shown_control(control),
        "lane": str(lane),
        "backlog": found.backlog,
        "oldest_age_seconds": _rounded(found.oldest_age_seconds, 1),
        "in_flight": found.in_flight,
        "rate_in_per_second": _rounded(found.rate_in_per_second, 2),
        "rate_out_per_second": _rounded(found.rate_out_per_second, 2),
        "workers": found.workers,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
