"""Waiting, with a deadline each."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from shared.errors import CacheUnavailable

T = TypeVar("T")


async def back(call: Callable[[], Awaitable[T]], within: float = 5.0) -> T:
    """The answer of the first call that is not refused. Raises TimeoutError when none is `within` seconds."""
    async with asyncio.timeout(within):
        while True:
            try:
                return await call()
            except CacheUnavailable:
                await asyncio.sleep(0.005)


async def unavailable(call: Awaitable[object]) -> str:
    """Why the call is refused."""
    with pytest.raises(CacheUnavailable) as caught:
        await call
    return str(caught.value)


async def soon(awaited: Awaitable[T], within: float = 5.0) -> T:
    async with asyncio.timeout(within):
        return await awaited


async def until(true: Callable[[], bool], within: float = 10.0) -> None:
    """Look every few milliseconds."""
    async with asyncio.timeout(within):
        while not true():
            await asyncio.sleep(0.005)
