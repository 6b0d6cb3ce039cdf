"""Hears that a job's cancel was asked for, and has its lease renewed at once, which finds the request in the store.

The call is only a hint: nothing is canceled on its word. One that is not heard, or a Redis that is lost, costs the time
to the next renewal. `app` keeps one of these running.
"""

import logging
from collections.abc import Callable

from services.worker.keeper import Keeper
from shared.cache.contract import CancelCalls
from shared.clock import Clock
from shared.errors import CacheUnavailable, Overloaded

RECONNECT_SECONDS = 0.5

_log = logging.getLogger("sluice.worker")


async def hear_cancels(
    worker: str, calls: CancelCalls, keeper: Keeper, clock: Clock, chance: Callable[[], float]
) -> None:
    """Listen until cancelled. chance: uniform in 0…1, keeps workers that lost one Redis apart."""
    while True:
        try:
            async with calls.calls(worker) as heard:
                async for id in heard:
                    keeper.hasten(id)
        except (CacheUnavailable, Overloaded) as fault:
            _log.warning("cancel requests are heard at renewals only", extra={"fault": type(fault).__name__})
        await clock.sleep(RECONNECT_SECONDS * (0.5 + chance()))
