"""Requests a key, a second: limited over all gateways, without asking anyone for most requests.

A gateway leases tokens in blocks from the key's bucket in Redis and hands them out itself; so several gateways keep a
limit to within a block each. While Redis is lost, every gateway keeps the whole limit by itself.

Called by `routes` for every request with a key, and by `express` without waiting.
"""

import asyncio
import math
from collections import OrderedDict
from dataclasses import dataclass, field

from services.gateway.http.problems import RATE_LIMITED, Problem
from services.gateway.settings import Settings
from shared.cache.contract import Grant, Rates
from shared.cache.gcra import LocalRates
from shared.clock import Clock
from shared.errors import CacheUnavailable, Overloaded
from shared.models.key import ApiKey

BLOCKS_A_BURST = 20
STOCK_SECONDS = 1.0
"""Tokens that nobody asked for by then go stale: a gateway must not save up."""
MAX_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Limit:
    """A key's limit."""

    per_second: int
    burst: int

    @property
    def block(self) -> int:
        return max(1, self.burst // BLOCKS_A_BURST)

    def headers(self, left: int, wait_seconds: float) -> dict[str, str]:
        """As the IETF's RateLimit header fields name them: quota, window, what remains, and when there is more."""
        window = max(1, math.ceil(self.burst / self.per_second))
        return {
            "RateLimit-Policy": f'"key";q={self.burst};w={window}',
            "RateLimit": f'"key";r={left};t={math.ceil(wait_seconds)}',
        }


@dataclass(slots=True)
class _Stock:
    """Tokens at hand for one key."""

    tokens: int = 0
    stale_at: float = 0.0
    leasing: asyncio.Lock = field(default_factory=asyncio.Lock)


class Limiter:
    def __init__(self, settings: Settings, rates: Rates, clock: Clock) -> None:
        self._default = Limit(settings.requests_per_second, settings.request_burst)
        self._rates = rates
        self._local = LocalRates(clock)
        self._clock = clock
        self._stocks: OrderedDict[str, _Stock] = OrderedDict()

    def take(self, key: ApiKey) -> bool:
        """Whether a token was at hand, and is taken: no waiting, for the hottest path."""
        stock = self._stocks.get(key.id)
        if stock is None or stock.tokens <= 0 or self._clock.monotonic() >= stock.stale_at:
            return False
        stock.tokens -= 1
        return True

    async def admit(self, key: ApiKey) -> None:
        """Take a token. Raises Problem 429 with when to come back."""
        if self.take(key):
            return
        stock, limit = self._stock(key.id), self.limit(key)
        async with stock.leasing:  # whoever waited here finds what the one before leased
            if self.take(key):
                return
            grant = await self._lease(key.id, limit)
            if not grant.granted:
                raise _refused(limit, grant)
            stock.tokens = grant.granted - 1
            stock.stale_at = self._clock.monotonic() + STOCK_SECONDS

    def limit(self, key: ApiKey) -> Limit:
        return Limit(key.requests_per_second or self._default.per_second, key.burst or self._default.burst)

    async def _lease(self, id: str, limit: Limit) -> Grant:
        try:
            return await self._rates.lease(id, per_second=limit.per_second, burst=limit.burst, wanted=limit.block)
        except (CacheUnavailable, Overloaded):
            return self._local.take(id, per_second=limit.per_second, burst=limit.burst, wanted=limit.block)

    def _stock(self, id: str) -> _Stock:
        stock = self._stocks.get(id)
        if stock is None:
            stock = self._stocks[id] = _Stock()
            if len(self._stocks) > MAX_KEYS:
                self._stocks.popitem(last=False)
        return stock


def _refused(limit: Limit, grant: Grant) -> Problem:
    wait = max(1, math.ceil(grant.wait_seconds))
    headers = {"Retry-After": str(wait), **limit.headers(grant.left, grant.wait_seconds)}
    return Problem(RATE_LIMITED, f"More than {limit.per_second} requests a second with this key.", headers=headers)
