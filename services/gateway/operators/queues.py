"""The endpoints of queues: what is going on in each lane, and pausing. Scope `system`.

Figures come from what gateways, schedulers and workers tell Redis; what nobody knows is null. A pause is kept in the
store; workers follow it within seconds, and what they have taken goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from services.gateway.catalogue.handlers import Handlers
from services.gateway.http.asking import nothing_else
from services.gateway.http.paging import check_query
from services.gateway.http.problems import not_found
from shared.cache.lanes import LaneBoard, LaneFigures
from shared.clock import Clock, rfc3339
from shared.errors import CacheUnavailable, Overloaded
from shared.messaging.topics import Names
from shared.models.handler import queues_of
from shared.models.job import Lane
from shared.models.key import ApiKey
from shared.models.queue import QueueControl
from shared.storage.contract import QueueControls

AGE_DIGITS, RATE_DIGITS = 1, 2


@dataclass(frozen=True, slots=True)
class QueueRoutes:
    handlers: Handlers
    controls: QueueControls
    board: LaneBoard
    names: Names
    clock: Clock

    async def all(self, request: web.Request, _key: ApiKey) -> web.Response:
        """`GET /v1/queues`: by name."""
        check_query(request, ())
        return _answer({"data": await self._shown(await self._queues())})

    async def pause(self, request: web.Request, _key: ApiKey) -> web.Response:
        """`POST /v1/queues/{name}/pause`: a queue that is paused stays so since when it was."""
        control = await self._queue(request)
        if not control.paused:
            control = QueueControl(control.name, self.clock.now())
            await self.controls.put(control)
        return await self._one(control)

    async def resume(self, request: web.Request, _key: ApiKey) -> web.Response:
        """`POST /v1/queues/{name}/resume`."""
        control = await self._queue(request)
        if control.paused:
            control = QueueControl(control.name)
            await self.controls.put(control)
        return await self._one(control)

    async def _queue(self, request: web.Request) -> QueueControl:
        """The queue of the path. Raises Problem 404 where no handler is on it and nobody has paused it."""
        await nothing_else(request)
        name = request.match_info["name"]
        for control in await self._queues():
            if control.name == name:
                return control
        raise not_found()

    async def _queues(self) -> Sequence[QueueControl]:
        """Every queue that a handler is on or that was ever paused."""
        said = {control.name: control for control in await self.controls.all()}
        names = queues_of(await self.handlers.entries()) | set(said)
        return [said.get(name) or QueueControl(name) for name in sorted(names)]

    async def _one(self, control: QueueControl) -> web.Response:
        [shown] = await self._shown([control])
        return _answer(shown)

    async def _shown(self, queues: Sequence[QueueControl]) -> list[dict[str, Any]]:
        lanes = [(control, lane) for control in queues for lane in Lane]
        figures = await self._figures([self.names.jobs(control.name, lane) for control, lane in lanes])
        shown: dict[str, list[dict[str, Any]]] = {control.name: [] for control in queues}
        for (control, lane), found in zip(lanes, figures, strict=True):
            shown[control.name].append(_lane(lane, control, found))
        return [
            {"name": control.name, "paused": control.paused, "paused_at": _time(control), "lanes": shown[control.name]}
            for control in queues
        ]

    async def _figures(self, lanes: Sequence[str]) -> Sequence[LaneFigures]:
        try:
            return await self.board.figures(lanes, at=self.clock.now())
        except (CacheUnavailable, Overloaded):
            return [LaneFigures()] * len(lanes)


def _lane(lane: Lane, control: QueueControl, found: LaneFigures) -> dict[str, Any]:
    return {
        "lane": lane,
        "paused": control.paused,
        "backlog": found.backlog,
        "oldest_age_seconds": _rounded(found.oldest_age_seconds, AGE_DIGITS),
        "in_flight": found.in_flight,
        "rate_in_per_second": _rounded(found.rate_in_per_second, RATE_DIGITS),
        "rate_out_per_second": _rounded(found.rate_out_per_second, RATE_DIGITS),
        "workers": found.workers,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _time(control: QueueControl) -> str | None:
    return None if control.paused_at is None else rfc3339(control.paused_at)


def _answer(body: object) -> web.Response:
    return web.Response(body=orjson.dumps(body), content_type="application/json", headers={"Cache-Control": "no-store"})
