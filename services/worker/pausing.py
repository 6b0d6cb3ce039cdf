"""Follows what operators say of queues: from one that is paused this worker takes nothing until it goes on.

A store that does not answer changes nothing: what was said last holds.
"""

import logging
from collections.abc import Collection
from typing import Protocol

from shared.clock import Clock
from shared.errors import Overloaded, Unavailable
from shared.storage.contract import QueueControls

_log = logging.getLogger("sluice.worker")


class Pausable(Protocol):
    """What takes messages, by pull or by push."""

    def pause(self, queues: Collection[str], /) -> None: ...


async def look(controls: QueueControls, taking: Pausable) -> None:
    """Do as operators have said."""
    try:
        said = await controls.all()
    except (Unavailable, Overloaded) as fault:
        _log.warning("it cannot be seen which queues are paused", extra={"fault": type(fault).__name__})
        return
    taking.pause([control.name for control in said if control.paused])


async def follow(controls: QueueControls, taking: Pausable, clock: Clock, *, every_seconds: float) -> None:
    """Look again and again, until cancelled."""
    while True:
        await clock.sleep(every_seconds)
        await look(controls, taking)
