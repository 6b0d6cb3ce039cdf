"""Ask a backend or a service once whether it really answers. Used as the `Probe` of a `ChildProcess`.

An open port is not enough: the emulators listen before they serve, and Redis refuses commands while it loads.
"""

from typing import Final

import aiohttp
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

_SECONDS: Final = 2.0


async def answers_http(url: str) -> bool:
    """Whether GET `url` answers 200."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS)) as session,
            session.get(url) as answer,
        ):
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


async def answers_pubsub(address: str) -> bool:
    """Whether the Pub/Sub emulator at `host:port` lists topics."""
    return await answers_http(f"http://{address}/v1/projects/probe/topics")


async def answers_firestore(address: str) -> bool:
    """Whether the Firestore emulator at `host:port` reads a collection."""
    return await answers_http(f"http://{address}/v1/projects/probe/databases/(default)/documents/probe?pageSize=1")


async def answers_redis(url: str) -> bool:
    """Whether the Redis at `url` answers PING."""
    once = Retry(NoBackoff(), 0)
    client = Redis.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS, retry=once)
    try:
        async with client:  # whose end may fail as well, on a machine that is busy
            return bool(await client.ping())
    except (RedisError, OSError):
        return False
