"""Keeps a chaos system's services alive as `make run` does, at a pace that fits a test, and notes every death.

Who was told to stay down (`resting`) is left alone until its block ends. A stall of this machine itself is noted too:
a lease that lapsed because nobody got any CPU is nobody's fault.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic, time
from typing import Final

from deploy.local.process import ChildProcess
from tests.chaos.damage import Damage, Trouble

RESTART_SECONDS: Final = 0.3
"""Between a death and the next start."""
_LOOK_SECONDS: Final = 0.1
STALL_SECONDS: Final = 1.0
"""So late, this process has not been given its turn: others have not either."""


class Supervision:
    """Of service processes, while `running`."""

    def __init__(self, processes: dict[str, ChildProcess], damage: Damage) -> None:
        self._processes = processes
        self._damage = damage
        self._resting: set[str] = set()
        self._roused = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._keep(process)) for process in self._processes.values()]
        tasks.append(asyncio.create_task(self._watch_machine()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    @asynccontextmanager
    async def resting(self, *names: str) -> AsyncIterator[None]:
        """These are not started again inside the block, and are after it."""
        self._resting.update(names)
        try:
            yield
        finally:
            self._resting.difference_update(names)
            self._roused.set()

    async def _keep(self, process: ChildProcess) -> None:
        while True:
            how = await process.wait()
            self._damage.died(process.name, process.pid, str(how))
            while process.name in self._resting:
                self._roused.clear()
                await self._roused.wait()
            await asyncio.sleep(RESTART_SECONDS)
            if not process.running:
                await process.spawn()

    async def _watch_machine(self) -> None:
        while True:
            before = monotonic()
            await asyncio.sleep(_LOOK_SECONDS)
            late = monotonic() - before - _LOOK_SECONDS
            if late > STALL_SECONDS:
                self._note_stall(late)

    def _note_stall(self, seconds: float) -> None:
        now = time()
        self._damage.troubles.append(Trouble("stall", now - seconds, now))
