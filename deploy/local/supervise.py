"""Keeps a started system whole: a service that dies is started again, a backend that dies ends the run.

A service holds nothing that is not also in Pub/Sub or Firestore, so a new one takes over. The emulators hold everything
in memory: a new one would be empty, and accepted jobs would be lost without a word. Called by `runner` alone.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from deploy.local.errors import BackendLostError, StartFailedError
from deploy.local.process import ChildProcess
from deploy.local.steps import together
from deploy.local.system import System

Say = Callable[[str], None]
"""Shows one message on the terminal."""

FIRST_PAUSE: Final = 0.5  # seconds before the first restart; doubled for each death in a row
LONGEST_PAUSE: Final = 15.0
_STEADY_SECONDS: Final = 60.0  # who lived so long has its earlier deaths forgiven


def pause_before(restart: int) -> float:
    """Seconds to wait before the n-th restart in a row, counted from 1."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(restart - 1, 10))


async def supervise(system: System, say: Say) -> None:
    """Never returns while a process runs that nobody told to end. Raises BackendLostError."""
    backends = system.backends.processes
    services = [process for name, process in system.processes.items() if process not in backends]
    await together([*(_mourn(process) for process in backends), *(_keep(process, say) for process in services)])


async def _mourn(process: ChildProcess) -> None:
    how = await process.wait()
    if how.asked:
        return
    raise BackendLostError(process.obituary(f"died ({how}), and with it the state of this run, so everything stops"))


async def _keep(process: ChildProcess, say: Say) -> None:
    deaths, began = 0, time.monotonic()
    while not (how := await process.wait()).asked:
        deaths = 1 if time.monotonic() - began > _STEADY_SECONDS else deaths + 1
        pause = pause_before(deaths)
        say(process.obituary(f"died ({how}) and is restarted in {pause:.1f} s"))
        await asyncio.sleep(pause)
        began = time.monotonic()
        await _restart(process, say)


async def _restart(process: ChildProcess, say: Say) -> None:
    try:
        await process.start()
    except StartFailedError as fault:
        if process.running:  # a dead one is told of by the next round
            say(str(fault))
    else:
        say(f"{process.name} answers again")
