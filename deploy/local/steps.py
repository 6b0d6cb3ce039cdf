"""Doing things side by side, and telling how long each took. Used by `backends` and `system`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

Report = Callable[[str, float], None]
"""Told of each step when it is done: what was done, and the seconds it took."""


def unheard(step: str, seconds: float) -> None:
    """The Report of those who do not want one."""


async def together(work: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """Run all of `work` at once. The first failure cancels the rest and is raised as it is, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in work:
                group.create_task(coroutine)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """`work` goes on beside the body and is cancelled at its end. What it raised by then is raised there."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
