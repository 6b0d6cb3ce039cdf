"""Lanes inside one process, kept as `lane_tell.lua` keeps them in Redis. For tests of whatever tells or shows lanes."""

from collections.abc import Sequence

from shared.cache.lanes import (
    FORGET_SECONDS,
    GONE,
    QUIET_SECONDS,
    TAKES_NOTHING,
    Hold,
    LaneFigures,
    LaneRecord,
    LaneReport,
    ProcessRecord,
    Totals,
    figures_of,
    flow_number,
)
from shared.clock import MILLISECONDS
from shared.errors import CacheUnavailable


class MemoryLanes:
    """See `LaneJournal` and `LaneBoard`."""

    def __init__(self) -> None:
        self._lanes: dict[str, LaneRecord] = {}
        self._stopped = False

    async def tell(self, process: str, started_at: int, reports: Sequence[LaneReport], *, at: int) -> None:
        self._check()
        for report in reports:
            record = self._lanes.setdefault(report.lane, LaneRecord(since=at))
            _keep(record, process, report.started_at or started_at, report, at)

    async def figures(self, lanes: Sequence[str], *, at: int) -> Sequence[LaneFigures]:
        self._check()
        return [figures_of(self._lanes.get(lane), at) for lane in lanes]

    def flush(self) -> None:
        """Forget everything, as FLUSHALL does."""
        self._lanes.clear()

    def stop(self) -> None:
        """Be lost: forget everything, and refuse every call until `start`."""
        self._stopped = True
        self.flush()

    def start(self) -> None:
        """Be back, empty."""
        self._stopped = False

    def _check(self) -> None:
        if self._stopped:
            raise CacheUnavailable("the cache is stopped")


def _keep(record: LaneRecord, process: str, started_at: int, report: LaneReport, at: int) -> None:
    before, hold = record.processes.get(process), report.hold or Hold(in_flight=TAKES_NOTHING)
    delta = _difference(record, before, started_at, report.totals)
    if before and before.started_at != started_at:
        record.waiting += max(0, before.in_flight)
    elif before and before.in_flight == GONE:
        record.waiting -= max(0, hold.in_flight)
    if delta.published and record.waiting <= 0 and report.published_from:
        record.front_at = max(record.front_at or 0, report.published_from)
    if hold.newest_at:
        record.front_at = max(record.front_at or 0, hold.newest_at)
    record.waiting += delta.published + delta.returned - delta.pulled
    if delta.pulled:
        record.pulled_at = at
    elif hold.empty and at - (record.pulled_at or 0) >= QUIET_SECONDS * MILLISECONDS:
        record.waiting, record.known = 0, True
    record.processes[process] = ProcessRecord(started_at, at, report.totals, hold.in_flight, hold.oldest_at)
    _sweep(record, at)
    into, out = record.flow.get(flow_number(at), (0, 0))
    record.flow[flow_number(at)] = into + delta.published, out + delta.settled


def _difference(record: LaneRecord, before: ProcessRecord | None, started_at: int, totals: Totals) -> Totals:
    """What is new in a process's totals."""
    if before and before.started_at == started_at:
        told = before.totals
        return Totals(
            max(0, totals.published - told.published),
            max(0, totals.pulled - told.pulled),
            max(0, totals.returned - told.returned),
            max(0, totals.settled - told.settled),
        )
    return totals if started_at >= record.since else Totals()


def _sweep(record: LaneRecord, at: int) -> None:
    """Let what silent processes held wait again."""
    for name, each in list(record.processes.items()):
        if at - each.seen_at >= FORGET_SECONDS * MILLISECONDS:
            del record.processes[name]
        elif each.silent(at) and each.in_flight >= 0:
            record.waiting += each.in_flight
            each.in_flight = GONE
