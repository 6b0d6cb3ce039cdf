"""Counts what a process does with lanes, in memory, and tells the journal every few seconds.

Made by the composition root of whatever publishes jobs or takes them. Counting costs an addition; nothing is asked of
Redis on the way of a job. Totals only grow, so a report that failed is made good by the next one. Each one names every
lane, news or not: so after Redis was lost it soon knows where each process stood, and counts what comes from then on.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from shared.cache.lanes import Hold, LaneJournal, LaneReport, Totals
from shared.clock import Clock
from shared.errors import CacheUnavailable, Overloaded

TELL_SECONDS: Final = 2.0

_log = logging.getLogger("sluice.lanes")

Look = Callable[[], tuple[Totals, Hold]]
"""What a taker has pulled, returned and settled since it started, and what it holds now."""


@dataclass(slots=True)
class _Published:
    started_at: int = 0
    count: int = 0
    since: int | None = None
    """When the first was published that no report has told of yet."""


class LaneMeter:
    """process: its name, unique among all. chance: uniform in 0…1, keeps processes apart."""

    def __init__(self, journal: LaneJournal, process: str, clock: Clock, chance: Callable[[], float]) -> None:
        self._journal = journal
        self._process = process
        self._clock = clock
        self._chance = chance
        self._started_at = clock.now()
        self._published: dict[str, _Published] = {}
        self._taken: dict[str, Look] = {}

    def published(self, lane: str) -> None:
        """One message went to `lane`."""
        entry = self._published.get(lane)
        if entry is None:
            entry = self._published[lane] = _Published(self._clock.now())
        entry.count += 1
        if entry.since is None:
            entry.since = self._clock.now()

    def follow(self, lane: str, look: Look) -> None:
        """Tell of what is taken from `lane` as well."""
        self._taken[lane] = look

    async def run(self) -> None:
        """Tell until cancelled, and once more then: by that time whatever was held has been settled."""
        try:
            while True:
                await self.tell()
                await self._clock.sleep(TELL_SECONDS * (0.75 + 0.5 * self._chance()))
        finally:
            await self.tell()

    async def tell(self) -> None:
        """Tell once; a journal that is lost is told later."""
        at = self._clock.now()
        reports = [self._report(lane) for lane in sorted({*self._taken, *self._published})]
        if not reports:
            return
        try:
            await self._journal.tell(self._process, self._started_at, reports, at=at)
        except (CacheUnavailable, Overloaded) as fault:
            _log.debug("lanes were not told", extra={"fault": type(fault).__name__})
            return
        for report in reports:
            self._was_told(report)

    def _report(self, lane: str) -> LaneReport:
        published, look = self._published.get(lane, _Published()), self._taken.get(lane)
        totals, hold = look() if look else (Totals(), None)
        started_at = None if look else published.started_at
        return LaneReport(lane, replace(totals, published=published.count), hold, published.since, started_at)

    def _was_told(self, report: LaneReport) -> None:
        entry = self._published.get(report.lane)
        if entry is not None:
            entry.since = None if entry.count == report.totals.published else self._clock.now()
