"""The generic cell rate algorithm, in this process: the memory version of `Rates`, and what limits while Redis is lost.

GCRA keeps one number a bucket, the theoretical arrival time up to which its tokens are spent (ITU-T I.371, as used for
rate limiting by many; `rates.lua` is the same arithmetic on the server's clock).
"""

import math
from collections import OrderedDict

from shared.cache.contract import Grant
from shared.clock import Clock

MAX_BUCKETS = 100_000
_ROUNDING = 1e-9


class LocalRates:
    """See `Rates`. Buckets that are used least recently are forgotten beyond MAX_BUCKETS: forgotten is full."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._spent: OrderedDict[str, float] = OrderedDict()

    async def lease(self, key: str, *, per_second: int, burst: int, wanted: int) -> Grant:
        return self.take(key, per_second=per_second, burst=burst, wanted=wanted)

    def take(self, key: str, *, per_second: int, burst: int, wanted: int) -> Grant:
        """As `lease`, at once."""
        now, interval = self._clock.monotonic(), 1 / per_second
        spent = max(now, self._spent.get(key, now))
        free = math.floor((now + burst * interval - spent) / interval + _ROUNDING)
        granted = max(0, min(wanted, free))
        self._keep(key, spent + granted * interval)
        wait = 0.0 if granted else spent + interval - now - burst * interval
        return Grant(granted, max(0, free - granted), wait)

    def _keep(self, key: str, spent: float) -> None:
        self._spent[key] = spent
        self._spent.move_to_end(key)
        if len(self._spent) > MAX_BUCKETS:
            self._spent.popitem(last=False)
