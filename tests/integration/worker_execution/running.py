"""What the tests here share: an engine with these handlers, and awaiting what other processes do."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from services.worker.execution.engine import Engine
from services.worker.execution.settings import ExecutionSettings
from services.worker.execution.task import Task
from shared.clock import Clock, SystemClock

_HERE = "tests.integration.worker_execution"
HANDLERS = (f"{_HERE}.ordinary:handlers", f"{_HERE}.unruly:handlers")

_numbers = itertools.count(1)


@asynccontextmanager
async def engine(
    environ: Mapping[str, str] = os.environ, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[Engine]:
    """One that has started. Its grace is short, its restarts do not wait."""
    chosen = {"handlers": HANDLERS, "grace_seconds": 0.15, **settings}
    running = Engine(ExecutionSettings(**chosen), environ=environ, clock=clock or SystemClock(), chance=lambda: 0.0)
    try:
        await running.start()
        yield running
    finally:
        await running.close()


def task(handler: str, text: str | int | Path = "", *, path: Path | str = "", **fields: Any) -> Task:
    """One attempt at `handler` with the input `text` and the file to create when it has begun."""
    number = next(_numbers)
    chosen: dict[str, Any] = {
        "run_id": f"run-{number}",
        "job_id": f"job-{number}",
        "handler": handler,
        "input": orjson.dumps({"text": str(text), "path": str(path)}),
        "attempt": 1,
        "max_attempts": 5,
        "fence": f"fence-{number}",
        "deadline_at": 1_900_000_000_000,
        "timeout_seconds": 20.0,
        **fields,
    }
    return Task(**chosen)


async def until(condition: Callable[[], bool], within: float = 15.0) -> None:
    """Return when `condition` holds. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.005)


def gone(pid: int) -> bool:
    """Whether it has ended. A zombie has: it only waits for whoever inherited it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def children(pid: int) -> list[int]:
    """The processes that the main thread of `pid` has started and that were not awaited."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Lag:
    """The longest that the test's own loop stood still, in seconds, while it was entered."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def __aenter__(self) -> "Lag":
        self._watch = asyncio.create_task(self._measure())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watch.cancel()
        await asyncio.wait({self._watch})

    async def _measure(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.01)
            self.worst = max(self.worst, loop.time() - before - 0.01)
