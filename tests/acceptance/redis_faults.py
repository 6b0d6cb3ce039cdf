"""What tests do to a system's Redis behind its back."""

import asyncio

from redis.asyncio import Redis

from deploy.local.system import System
from tests.acceptance.client import ApiClient


async def flush(system: System) -> None:
    """Forget everything, of every system on that Redis."""
    async with Redis.from_url(system.backends.redis.address) as redis:
        await redis.flushall()


async def scan(system: System, pattern: str) -> list[str]:
    """The system's keys of that pattern."""
    async with Redis.from_url(system.backends.redis.address, decode_responses=True) as redis:
        return [str(key) async for key in redis.scan_iter(pattern)]


async def until_back(api: ApiClient) -> None:
    """Return when the gateway has its Redis again."""
    async with asyncio.timeout(30):
        while (await api.request("GET", "/readyz")).json["checks"]["cache"] != "ok":
            await asyncio.sleep(0.05)
