"""How long handlers have taken lately, as this gateway knows it: read from the statistics beside the requests.

Used where a handler is shown, where a job is explained, and for `Retry-After` of jobs that are not over.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import orjson

from shared.clock import MILLISECONDS, Clock
from shared.errors import Overloaded, Unavailable
from shared.models.public import Snapshot
from shared.models.statistics import EVERYONE, Sketch, Step, quantile, together
from shared.storage.statistics import ShardPlace, StatisticsReader

RECENT_MS: Final = 15 * 60_000
PAGE: Final = 16
"""Documents read at once: what is read in one turn of the loop keeps all requests waiting."""
MOST_PAGES: Final = 64
LEAST_RETRY_SECONDS, MOST_RETRY_SECONDS = 1, 30
SPREAD_SECONDS: Final = 4
"""Over which those come back who were let go together."""
_HANDLER: Final = b',"handler":"'
_HEAD: Final = 128
"""Bytes of a job's JSON in which its handler stands."""

_log = logging.getLogger("sluice.gateway")


@dataclass(frozen=True, slots=True)
class RunTime:
    """Of a handler's recent runs, seconds."""

    p50: float
    p95: float


class RunTimes:
    """chance: uniform in 0…1."""

    def __init__(self, statistics: StatisticsReader, clock: Clock, chance: Callable[[], float]) -> None:
        self._statistics = statistics
        self._clock = clock
        self._chance = chance
        self._spread = 0
        self._known: dict[str, RunTime] = {}
        self._retry_after: dict[bytes, int] = {}

    async def follow(self, every_seconds: float) -> None:
        """Keep up with the statistics until cancelled. What is known stays while they cannot be read."""
        while True:
            try:
                await self.look()
            except (Unavailable, Overloaded) as fault:
                _log.warning("statistics cannot be read", extra={"fault": type(fault).__name__})
            await self._clock.sleep(every_seconds)

    async def look(self) -> None:
        """Raises StoreUnavailable, Overloaded."""
        found = await self._read()
        self._known = {handler: run_time for handler, sketch in found.items() if (run_time := _run_time(sketch))}
        self._retry_after = {_spelled(handler): _patience(each) for handler, each in self._known.items()}

    def of(self, handler: str | None) -> RunTime | None:
        """None where it has not run lately, or nobody knows."""
        return None if handler is None else self._known.get(handler)

    def spread_out(self) -> None:
        """The gateway leaves: all who are held are answered in one moment, and are not to come back in one."""
        self._spread = SPREAD_SECONDS

    def retry_after(self, state: Snapshot) -> int:
        """Seconds after which it is worth to look at an unfinished job again: about a run of its handler."""
        return self._usual(state) + round(self._spread * self._chance()) if self._spread else self._usual(state)

    def _usual(self, state: Snapshot) -> int:
        start = state.body.find(_HANDLER, 0, _HEAD)
        if start < 0 or not self._retry_after:
            return LEAST_RETRY_SECONDS
        start += len(_HANDLER)
        return self._retry_after.get(state.body[start : state.body.find(b'"', start)], LEAST_RETRY_SECONDS)

    async def _read(self) -> dict[str, Sketch]:
        now = self._clock.now()
        known = together([])
        after: ShardPlace | None = None
        for _ in range(MOST_PAGES):
            start, end = Step.MINUTE.start(now - RECENT_MS), now + RECENT_MS
            page = await self._statistics.page(EVERYONE, start=start, end=end, after=after, limit=PAGE)
            known = together([known, *(shard.tallies for shard in page)])
            if len(page) < PAGE:
                break
            after = ShardPlace.of(page[-1])
        return {handler: tally.run_time for handler, tally in known.items()}


def _run_time(sketch: Sketch) -> RunTime | None:
    p50, p95 = quantile(sketch, 0.5), quantile(sketch, 0.95)
    return None if p50 is None or p95 is None else RunTime(p50 / MILLISECONDS, p95 / MILLISECONDS)


def _patience(run_time: RunTime) -> int:
    return max(LEAST_RETRY_SECONDS, min(MOST_RETRY_SECONDS, math.ceil(run_time.p50)))


def _spelled(handler: str) -> bytes:
    """As in JSON, without the quotes."""
    return orjson.dumps(handler)[1:-1]
