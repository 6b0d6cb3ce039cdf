"""Reducers, and a handler of items, for the worker that the tests here run."""

import asyncio
import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from sluice import Handlers, JobContext, Outputs

handlers = Handlers(queue="reducing")


@dataclass
class Part:
    n: int
    filling: str = ""


class Pause(BaseModel):
    """Where a reducer stops on its way, and waits for the file `go`."""

    behind: int
    begun: str
    """A file to create then; it gets a line with the process's id at each attempt."""
    go: str


@dataclass
class Sum:
    total: int
    grown: int = 0
    """Bytes by which the process's memory has grown at most."""


@handlers.on("item.wait", timeout=60)
async def wait(input: str) -> Part:
    """Returns when the file is there."""
    while not _there(input):
        await asyncio.sleep(0.005)
    return Part(1)


@handlers.on("item.now")
async def now(input: int) -> Part:
    return Part(input)


@handlers.reduce("sum.process", run_in="process")
def in_process(outputs: Outputs[Part]) -> Sum:
    """Adds up, and says what memory it took."""
    before = _peak()
    return Sum(sum(part.n for part in outputs), _peak() - before)


@handlers.reduce("sum.slow", max_attempts=1)
async def slowly(outputs: Outputs[Part]) -> Sum:
    total = 0
    async for part in outputs:
        total += part.n
        await asyncio.sleep(0)
    return Sum(total)


@handlers.reduce("pause.loop", timeout=60)
async def pause_in_loop(outputs: Outputs[Part], pause: Pause) -> Sum:
    total, read = 0, 0
    async for part in outputs:
        total, read = total + part.n, read + 1
        if read == pause.behind:
            _begin(pause)
            while not _there(pause.go):
                await asyncio.sleep(0.005)
    return Sum(total)


@handlers.reduce("pause.thread", run_in="thread", timeout=60)
def pause_in_thread(outputs: Outputs[Part], pause: Pause, job: JobContext) -> Sum:
    total, read = 0, 0
    for part in outputs:
        total, read = total + part.n, read + 1
        if read == pause.behind:
            _begin(pause)
            while not (_there(pause.go) or job.cancelled):
                time.sleep(0.005)
    return Sum(total)


def _begin(pause: Pause) -> None:
    with Path(pause.begun).open("a") as file:
        file.write(f"{os.getpid()}\n")


def _there(path: str) -> bool:
    return Path(path).exists()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024
