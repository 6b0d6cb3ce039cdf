"""A process with an engine in it, as a worker's is, for tests that end it or look at its output from outside.

`python -m tests.integration.worker_execution.lone_worker noise`, or `… stuck FOLDER HANDLER`.
"""

import asyncio
import sys
from pathlib import Path

import uvloop

from services.worker.execution.engine import Engine
from services.worker.execution.outcomes import Succeeded
from tests.integration.worker_execution.running import engine, task


async def noise(running: Engine) -> None:
    """Run a handler that prints, and print what came of it."""
    sys.stdout.write(f"{await running.run(task('noise'))}\n")


async def stuck(running: Engine, folder: Path, handler: str) -> None:
    """Have `handler` in the shared runner and another in a solo one, neither of which ends."""
    pid = await running.run(task("pid"))
    assert isinstance(pid, Succeeded)
    (folder / "shared").write_bytes(pid.output)
    solo = task("wait.process", folder / "never", path=folder / "solo")
    await asyncio.gather(running.run(solo), running.run(task(handler, path=folder / "begun")))


async def main(act: str, folder: str = "", handler: str = "") -> None:
    async with engine(solo_slots=1, unanswered_pings=1_000) as running:
        await (noise(running) if act == "noise" else stuck(running, Path(folder), handler))


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
