"""Unfinished batches that this instance has heard of: once nothing is told of one for a while, it is looked at.

So an event that was lost costs a batch a minute or two, and never its end. Each look is bounded and goes on where the
last one stopped; the time between looks doubles while they find nothing, for a long queue is silent too. What this
instance forgets, or takes with it when it dies, the batch's deadline still finds.
"""

import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from services.aggregator.settle import Settling, Why
from shared.clock import Clock
from shared.errors import Overloaded, Refused, Unavailable

MOST_FOLLOWED: Final = 10_000
MOST_LOOKED_AT: Final = 2_000
"""Items, in one look."""
MOST_SECONDS: Final = 1_800.0
"""Between two looks."""
TURN_SECONDS: Final = 1.0

_log = logging.getLogger("sluice.aggregator")


@dataclass(slots=True)
class _Followed:
    look_at: float
    """By the monotonic clock."""
    pause: float
    start: int = 0


class Silence:
    """seconds: without news, before the first look."""

    def __init__(self, settling: Settling, clock: Clock, *, seconds: float) -> None:
        self._settling = settling
        self._clock = clock
        self._seconds = seconds
        self._followed: OrderedDict[str, _Followed] = OrderedDict()

    def heard(self, id: str) -> None:
        """News of the batch: nobody need look for now."""
        self._followed[id] = _Followed(self._clock.monotonic() + self._seconds, self._seconds)
        self._followed.move_to_end(id)
        if len(self._followed) > MOST_FOLLOWED:
            self._followed.popitem(last=False)

    async def run(self) -> None:
        """Look after those that are silent, until cancelled."""
        while True:
            await self._clock.sleep(TURN_SECONDS)
            for id in self._due():
                await self.look(id)

    async def look(self, id: str) -> None:
        """One look at a batch. Trouble is logged, and the next look comes as after one that found nothing."""
        followed = self._followed.get(id)
        if followed is None:
            return  # pushed out by others meanwhile
        followed.pause = min(MOST_SECONDS, followed.pause * 2)
        try:
            looked = await self._settling.settle(id, Why.SILENCE, start=followed.start, most=MOST_LOOKED_AT)
        except (Unavailable, Overloaded, Refused) as fault:
            _log.warning("a silent batch was not looked at", extra={"batch": id, "fault": type(fault).__name__})
        else:
            followed.start = looked.next_index
            if looked.over:
                self._followed.pop(id, None)
            elif looked.looked_at > looked.unsettled:
                followed.pause = self._seconds
        followed.look_at = self._clock.monotonic() + followed.pause

    def _due(self) -> list[str]:
        now = self._clock.monotonic()
        return [id for id, followed in self._followed.items() if followed.look_at <= now]
