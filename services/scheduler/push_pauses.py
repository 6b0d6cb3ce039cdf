"""Pauses queues that are pushed: a paused queue's subscriptions push nowhere until it goes on.

Workers that pull stop by themselves (`services/worker/pausing`). Pushed ones can turn messages away, but a refusal is a
delivery, and the broker gives up on a message after a hundred; and where nothing is pushed no worker lives that could
start it again. So the one service that always runs sees to it. Several schedulers do the same and disturb nobody:
pointing a subscription where it points already changes nothing.
"""

import logging
from collections.abc import Sequence

from shared.clock import Clock
from shared.errors import BrokerUnavailable, Overloaded, Unavailable
from shared.messaging.contract import PushSwitch
from shared.messaging.push import Pulled, PushPlan
from shared.messaging.topics import WORKER, Names
from shared.models.job import Lane
from shared.models.queue import QueueControl
from shared.storage.contract import QueueControls

AGAIN_SECONDS = 60.0
"""A paused queue is switched off again after so long: who applied the topology meanwhile may have switched it on."""

_log = logging.getLogger("sluice.scheduler")


class PushPauses:
    def __init__(self, controls: QueueControls, switch: PushSwitch, plan: PushPlan, names: Names, clock: Clock) -> None:
        self._controls = controls
        self._switch = switch
        self._plan = plan
        self._names = names
        self._clock = clock
        self._done: dict[str, tuple[bool, float]] = {}
        """What was done of each queue: whether it was switched off, and when."""

    async def follow(self, *, every_seconds: float) -> None:
        """Do as operators have said, until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(every_seconds)

    async def look(self) -> None:
        """Do as operators have said. What cannot be done is tried again at the next look."""
        try:
            said = await self._controls.all()
        except (Unavailable, Overloaded) as fault:
            _log.warning("it cannot be seen which queues are paused", extra={"fault": type(fault).__name__})
            return
        for control in self._due(said):
            await self._try(control)

    async def _try(self, control: QueueControl) -> None:
        try:
            await self._point(control)
        except BrokerUnavailable as fault:
            fields = {"queue": control.name, "paused": control.paused, "fault": str(fault)}
            _log.warning("a queue could not be paused or resumed", extra=fields)

    def _due(self, said: Sequence[QueueControl]) -> list[QueueControl]:
        return [control for control in said if self._plan.covers(control.name) and not self._stands(control)]

    def _stands(self, control: QueueControl) -> bool:
        paused, at = self._done.get(control.name, (not control.paused, 0.0))
        fresh = self._clock.monotonic() - at < AGAIN_SECONDS
        return paused == control.paused and (fresh or not paused)

    async def _point(self, control: QueueControl) -> None:
        queue = control.name
        for lane in Lane:
            subscription = self._names.reader(self._names.jobs(queue, lane), WORKER)
            target = Pulled() if control.paused else self._plan.target(queue, lane)
            await self._switch.point(subscription, target)
        known = self._done.get(queue)
        self._done[queue] = (control.paused, self._clock.monotonic())
        if known is None or known[0] != control.paused:
            _log.info("a queue is no longer pushed" if control.paused else "a queue is pushed", extra={"queue": queue})
