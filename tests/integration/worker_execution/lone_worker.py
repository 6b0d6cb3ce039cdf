"""A process with an engine in it, as a worker's is, for tests that end it or look at its output from outside.

`python -m tests.integration.worker_execution.lone_worker noise`, `… steady`, or `… stuck FOLDER HANDLER`.
"""

import asyncio
import sys
from pathlib import Path

import uvloop

from services.worker.execution.engine import Engine
from services.worker.execution.outcomes import Succeeded
from tests.integration.worker_execution.running import engine, task


def say(outcome: object) -> None:
    sys.stdout.write(f"{outcome}\n")
    sys.stdout.flush()


async def noise(running: Engine) -> None:
    """Run a handler that prints, and print what came of it."""
    say(await running.run(task("noise")))


async def steady(running: Engine) -> None:
    """Print which process handlers run in, each time a line comes."""
    while await asyncio.to_thread(sys.stdin.readline):
        say(await running.run(task("pid")))


async def stuck(running: Engine, folder: Path, handler: str) -> None:
    """Have `handler` in the shared runner and another in a solo one, neither of which ends."""
    pid = await running.run(task("pid"))
    assert isinstance(pid, Succeeded)
    (folder / "shared").write_bytes(pid.output)
    solo = task("wait.process", folder / "never", path=folder / "solo")
    await asyncio.gather(running.run(solo), running.run(task(handler, path=folder / "begun")))


async def main(act: str, *arguments: str) -> None:
    pings = {"ping_seconds": 0.1, "unanswered_pings": 3} if act == "steady" else {"unanswered_pings": 1_000}
    async with engine(solo_slots=1, **pings) as running:
        match act, arguments:
            case "stuck", (folder, handler):
                await stuck(running, Path(folder), handler)
            case "steady", _:
                await steady(running)
            case _:
                await noise(running)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
