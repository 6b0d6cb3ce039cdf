"""How endpoints are doing: kept in memory by the holder of their shard, and in the store as far as it must outlive it.

A busy endpoint that works costs a write an hour; one that fails, a write a minute.
"""

import logging
import math
from typing import Final

from services.webhooks.lanes import Lane, Standing
from services.webhooks.posting import Failed, Gone, Outcome, Succeeded
from shared.clock import Clock
from shared.errors import Overloaded, Unavailable
from shared.models.webhook import Health
from shared.storage.webhook_contract import Healths

FAILING_EVERY_MS: Final = 60_000
WORKING_EVERY_MS: Final = 3_600_000

_log = logging.getLogger("sluice.webhooks")


class HealthBook:
    def __init__(self, healths: Healths, clock: Clock) -> None:
        self._healths = healths
        self._clock = clock
        self._known: dict[str, Health] = {}
        self._written: dict[str, Health] = {}

    async def load(self, lane: Lane) -> None:
        """Let the lane know what was known of its endpoint. Raises StoreUnavailable, Overloaded."""
        if lane.endpoint in self._known:
            return
        found = await self._healths.read(lane.endpoint) or Health(lane.endpoint)
        if lane.endpoint not in self._known:  # another may have been quicker, and gone on
            self._known[lane.endpoint] = self._written[lane.endpoint] = found
            if found.succeeded_at is not None:
                lane.standing = Standing.PROVEN

    def forget(self, endpoint: str) -> None:
        self._known.pop(endpoint, None)
        self._written.pop(endpoint, None)

    async def learn(self, lane: Lane, outcome: Outcome) -> Health:
        """What an attempt says of its endpoint: to its breaker, its standing and its record."""
        now, at = self._clock.monotonic(), self._clock.now()
        health = self._known.get(lane.endpoint) or Health(lane.endpoint)
        if isinstance(outcome, Succeeded):
            lane.breaker.answered()
            lane.standing = Standing.PROVEN
            health = health.after_success(at=at)
        elif isinstance(outcome, Failed | Gone):
            self._learn_failure(lane, outcome, now)
            health = health.after_failure(at=at)
        else:
            lane.breaker.undecided(now)
        self._known[lane.endpoint] = health
        await self._write(health)
        return health

    def _learn_failure(self, lane: Lane, outcome: Failed | Gone, now: float) -> None:
        if isinstance(outcome, Failed) and outcome.nobody_home:
            lane.breaker.failed(now)
        else:
            lane.breaker.answered()
        if isinstance(outcome, Failed) and outcome.timed_out:
            lane.standing = Standing.TIMING_OUT
        elif lane.standing is Standing.TIMING_OUT:
            lane.standing = Standing.NEW
        if isinstance(outcome, Failed) and outcome.asks_for_a_pause:
            lane.paused_until = max(lane.paused_until, now + (outcome.retry_after_seconds or 0.0))

    async def _write(self, health: Health) -> None:
        written = self._written.get(health.endpoint, Health(health.endpoint))
        if not _worth_writing(health, written):
            return
        self._written[health.endpoint] = health
        try:
            await self._healths.put(health)
        except (Unavailable, Overloaded) as fault:
            self._written[health.endpoint] = written
            _log.warning(
                "an endpoint's health was not kept", extra={"webhook": health.endpoint, "fault": type(fault).__name__}
            )


def _worth_writing(health: Health, written: Health) -> bool:
    if (health.failing_since is None) != (written.failing_since is None):
        return True
    if health.failing_since is not None:
        return (health.failed_at or 0) - (written.failed_at or 0) >= FAILING_EVERY_MS
    return (health.succeeded_at or 0) - (written.succeeded_at or 0) >= WORKING_EVERY_MS


def pause_seconds(lane: Lane, now: float) -> float:
    """How long nothing may start in the lane, for its breaker or a pause that it asked for; 0 while a probe decides."""
    at = lane.open_at(now)
    return 0.0 if at == math.inf else max(0.0, at - now)
