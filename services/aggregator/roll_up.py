"""Summing up old minutes by the hour. Called by itself, now and then; every aggregator does it, none needs to.

An hour and the deletion of the minutes that went into it are one commit, so whoever adds up what there is counts
everything once at any time. A rival's commit makes ours fail, and changes nothing of what there is to sum up.
"""

import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Final

from shared.clock import Clock
from shared.errors import CommitUnknown, Overloaded, Refused, Unavailable
from shared.models.statistics import Shard, Step, together
from shared.storage.contract import Stored, Version
from shared.storage.statistics import MOST_SUMMED_UP, STATISTICS_SHARDS, StatisticsRollUp, hour_id

MOST_PAGES: Final = 100
"""Of one shard in one turn; the rest waits for the next."""

_log = logging.getLogger("sluice.aggregator")


class RollUp:
    """minutes_ms, hours_ms: for how long each is kept. chance: uniform in 0…1, so that instances take turns."""

    def __init__(
        self,
        store: StatisticsRollUp,
        clock: Clock,
        *,
        minutes_ms: int,
        hours_ms: int,
        every_seconds: float,
        chance: Callable[[], float],
    ) -> None:
        self._store = store
        self._clock = clock
        self._minutes_ms = minutes_ms
        self._hours_ms = hours_ms
        self._every_seconds = every_seconds
        self._chance = chance

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(self._every_seconds * (0.5 + self._chance()))
            try:
                await self.turn()
            except (Unavailable, Overloaded, Refused) as fault:
                _log.warning("statistics were not summed up", extra={"fault": type(fault).__name__})

    async def turn(self) -> int:
        """Sum up what is old, and return how many minutes that were. Raises StoreUnavailable, Overloaded."""
        before = Step.HOUR.start(self._clock.now() - self._minutes_ms)
        summed_up = 0
        for shard in range(STATISTICS_SHARDS):
            summed_up += await self._shard(shard, before)
        if summed_up:
            _log.info("statistics were summed up", extra={"minutes": summed_up})
        return summed_up

    async def _shard(self, shard: int, before: int) -> int:
        summed_up = 0
        for _ in range(MOST_PAGES):
            minutes = await self._store.old(shard, before, limit=MOST_SUMMED_UP)
            for some in _hours(minutes):
                if not await self._sum_up(some):
                    return summed_up  # a rival is at it
                summed_up += len(some)
            if len(minutes) < MOST_SUMMED_UP:
                break
        return summed_up

    async def _sum_up(self, minutes: Sequence[Stored[Shard]]) -> bool:
        """Whether it was done. The minutes are of one tenant and hour."""
        first = minutes[0].value
        at = Step.HOUR.start(first.at)
        id = hour_id(first.tenant, at)
        known = await self._store.read(id)
        tallies = together([*([known.value.tallies] if known else []), *(each.value.tallies for each in minutes)])
        hour = Shard(id, first.tenant, Step.HOUR, at, tallies, at + self._hours_ms)
        try:
            result = await self._store.sum_up(hour, known.version if known else None, minutes)
        except CommitUnknown:
            return False  # the next turn sees what became of it
        return isinstance(result, Version)


def _hours(minutes: Sequence[Stored[Shard]]) -> list[list[Stored[Shard]]]:
    """Those of one tenant and hour together."""

    def whose(each: Stored[Shard]) -> tuple[str, int]:
        return each.value.tenant, Step.HOUR.start(each.value.at)

    return [list(group) for _, group in itertools.groupby(sorted(minutes, key=whose), key=whose)]
