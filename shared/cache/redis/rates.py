"""Rate limits' buckets in Redis, shared by every gateway. The `Rates` of the gateway."""

from typing import Final

from shared.cache.contract import Grant
from shared.cache.redis.connection import Connection
from shared.cache.redis.script import Script
from shared.errors import CacheUnavailable

_LEASE: Final = Script.beside(__file__, "rates.lua")


class RedisRates:
    """See the Protocol."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def lease(self, key: str, *, per_second: int, burst: int, wanted: int) -> Grant:
        reply = await self._connection.run(_LEASE, (f"rate:{key}",), (per_second, burst, wanted))
        if not isinstance(reply, list) or len(reply) != 3:
            raise CacheUnavailable("a bucket that nobody wrote")
        granted, left, wait_ms = (int(part) for part in reply)
        return Grant(granted, left, wait_ms / 1_000)
