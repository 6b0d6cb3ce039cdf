"""What the tests of `deploy.local` share: looking at processes from outside, and awaiting what they do."""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.local.guard import Guard
from deploy.local.process import ChildProcess, Command, Probe

ROOT = Path(__file__).resolve().parents[3]


async def until(condition: Callable[[], bool], within: float = 20.0) -> None:
    """Return when `condition` holds. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.02)


async def alive(pids: Sequence[int]) -> set[int]:
    """Those that run. A zombie does not: it has ended, and only waits for whoever inherited it."""
    asked = ",".join(map(str, pids))
    ps = await asyncio.create_subprocess_exec("ps", "-o", "pid=,stat=", "-p", asked, stdout=asyncio.subprocess.PIPE)
    listed, _ = await ps.communicate()
    rows = (line.split() for line in listed.decode().splitlines())
    return {int(pid) for pid, state in rows if not state.startswith("Z")}


async def all_gone(pids: Sequence[int], within: float = 20.0) -> None:
    """Return when none of them runs. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while await alive(pids):
            await asyncio.sleep(0.05)


def shell(name: str, script: str, folder: Path, guard: Guard, ready: Probe | None = None) -> ChildProcess:
    """A child process that runs a shell script in `folder`."""
    command = Command(name, ("sh", "-c", script), os.environ, folder, folder / f"{name}.log")
    return ChildProcess(command, guard, ready, ready_within=5)


def python(*arguments: str) -> tuple[str, ...]:
    """The command that runs this Python, from the root of the repository."""
    return (sys.executable, *arguments)


async def children_of(pid: int) -> dict[int, str]:
    """The command lines of its direct children."""
    ps = await asyncio.create_subprocess_exec(
        "ps", "-A", "-ww", "-o", "pid=,ppid=,args=", stdout=asyncio.subprocess.PIPE
    )
    listed, _ = await ps.communicate()
    rows = (line.split(maxsplit=2) for line in listed.decode().splitlines())
    return {int(child): args for child, parent, args in rows if int(parent) == pid}
