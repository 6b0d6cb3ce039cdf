"""Tasks that end with their block, as a killed process does: nothing is handed over."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Self


class Tasks:
    def __init__(self) -> None:
        self._running: list[asyncio.Task[None]] = []

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        self._running.append(asyncio.create_task(work))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
