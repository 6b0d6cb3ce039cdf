"""What is done beside the requests, off their path: words to the cache and the like, whose loss costs a look-up.

Used by whoever accepts jobs. Closing waits a moment for what is under way, and gives up the rest.
"""

import asyncio
import logging
from collections.abc import Collection, Coroutine
from typing import Any

from shared.errors import Overloaded, Unavailable

MAX_UNDER_WAY = 20_000
CLOSE_SECONDS = 1.0

_log = logging.getLogger("sluice.gateway")


class Aside:
    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def do(self, work: Coroutine[Any, Any, object], name: str) -> None:
        """Begin `work`; a dependency that does not answer is its end. With too much under way it is left undone."""
        if len(self._tasks) >= MAX_UNDER_WAY:
            work.close()
            return
        task = asyncio.create_task(_try(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Return when all is done, or was given up."""
        await wind_up(self._tasks)


async def wind_up(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Return when the tasks are done, or were given up because they took longer than a service has for closing."""
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


async def _try(work: Coroutine[Any, Any, object], name: str) -> None:
    try:
        await work
    except (Unavailable, Overloaded) as fault:
        _log.debug("not done", extra={"what": name, "fault": type(fault).__name__})
