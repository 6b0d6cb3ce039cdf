"""What `/v1/queues` says of a lane, and waiting until it says something."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tests.acceptance.client import ApiClient, Json

T = TypeVar("T")

FIGURES = ("backlog", "oldest_age_seconds", "in_flight", "rate_in_per_second", "rate_out_per_second", "workers")
KNOWN_SECONDS = 120.0
"""After Redis was lost: a worker must find the lane empty."""


async def found(look: Callable[[], Awaitable[T | None]], within: float = 60.0) -> T:
    """What `look` finds, as soon as it finds something."""
    async with asyncio.timeout(within):
        while (it := await look()) is None:
            await asyncio.sleep(0.2)
    return it


async def lane(api: ApiClient, queue: str, name: str = "interactive") -> Json:
    answer = await api.request("GET", "/v1/queues")
    [queried] = [each for each in answer.json["data"] if each["name"] == queue]
    [figures] = [each for each in queried["lanes"] if each["lane"] == name]
    return dict(figures)


async def known(api: ApiClient, queue: str) -> Json:
    """The figures of the interactive lane, once all are known."""

    async def look() -> Json | None:
        figures = await lane(api, queue)
        return figures if all(figures[each] is not None for each in FIGURES) else None

    return await found(look, within=KNOWN_SECONDS)
