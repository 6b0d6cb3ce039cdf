"""Keeps what this worker holds: renews leases in time, and lets clients know of jobs that really take a while.

One task for all jobs. A job that is over within a moment is never announced as running: its finish says it all, and
that halves the telling of short work.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.worker.holding import ClaimLost, Holding
from shared.clock import Clock
from shared.errors import Overloaded, Unavailable
from shared.models.job import Job

TICK_SECONDS = 0.05
ANNOUNCE_AFTER_SECONDS = 0.05
RENEWALS_A_LEASE = 3
RENEW_WITHIN_SECONDS = 4.0
"""A renewal also finds out about a cancel request: a handler is told of it within 5 s, whoever was not called."""

_log = logging.getLogger("sluice.worker")


@dataclass(slots=True)
class _Kept:
    holding: Holding
    announce_at: float | None
    renew_at: float
    on_change: Callable[[], object]


class Keeper:
    """
    announce: tells clients that the job runs; never raises for a cache that is lost.
    """

    def __init__(self, *, clock: Clock, lease_seconds: int, announce: Callable[[Job], Awaitable[None]]) -> None:
        self._clock = clock
        self._every = min(lease_seconds / RENEWALS_A_LEASE, RENEW_WITHIN_SECONDS)
        self._announce = announce
        self._kept: dict[str, _Kept] = {}

    def keep(self, holding: Holding, on_change: Callable[[], object]) -> None:
        """Keep the lease until `drop`; `on_change` is called when the claim is lost or a cancel request was seen."""
        now = self._clock.monotonic()
        self._kept[holding.job.spec.id] = _Kept(holding, now + ANNOUNCE_AFTER_SECONDS, now + self._every, on_change)

    def drop(self, holding: Holding) -> None:
        self._kept.pop(holding.job.spec.id, None)

    def hasten(self, id: str) -> None:
        """Renew the job's lease at the next tick, and so look whether its cancel was asked for."""
        kept = self._kept.get(id)
        if kept is not None:
            kept.renew_at = self._clock.monotonic()

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            await self._clock.sleep(TICK_SECONDS)
            now = self._clock.monotonic()
            kept = list(self._kept.values())
            due = [each for each in kept if each.renew_at <= now]
            new = [each for each in kept if each.announce_at is not None and each.announce_at <= now]
            await asyncio.gather(*map(self._renew, due), *map(self._announced, new))

    async def _announced(self, kept: _Kept) -> None:
        kept.announce_at = None
        await self._announce(kept.holding.job)

    async def _renew(self, kept: _Kept) -> None:
        kept.renew_at = self._clock.monotonic() + self._every
        try:
            await kept.holding.renew()
        except ClaimLost:
            _log.warning("a claim was lost", extra={"job": kept.holding.job.spec.id})
        except (Unavailable, Overloaded) as fault:
            _log.warning(
                "a lease was not renewed", extra={"job": kept.holding.job.spec.id, "fault": type(fault).__name__}
            )
        if kept.holding.lost or kept.holding.cancel_requested:
            kept.on_change()
