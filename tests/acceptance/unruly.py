"""Handlers that do not stop when asked, wait long for another attempt, or say more than anyone can hear."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice import Handlers, JobContext, Retry

handlers = Handlers()


@dataclass
class Stay:
    seconds: float
    file: str = ""
    """Gets a line when the handler comes to its end."""


@dataclass
class Again:
    after: float
    """Seconds to wait for the next attempt."""


@dataclass
class Talk:
    chunks: int
    every: float = 0.0
    """Seconds between chunks."""
    size: int = 0
    """Of each chunk, on top."""
    linger: float = 0.0
    """Seconds to stay after the last."""


def _stay(input: Stay) -> None:
    time.sleep(input.seconds)
    if input.file:
        with Path(input.file).open("a") as lines:
            lines.write("done\n")


@handlers.on("unruly.process", run_in="process", timeout=120)
def process(input: Stay) -> None:
    """Sleeps and hears nothing."""
    _stay(input)


@handlers.on("unruly.thread", run_in="thread", timeout=120)
def thread(input: Stay) -> None:
    """Sleeps and hears nothing."""
    _stay(input)


@handlers.on("unruly.deaf", timeout=120)
async def deaf(input: Stay) -> None:
    """Sleeps, and goes on when it is cancelled."""
    until = time.monotonic() + input.seconds
    while (left := until - time.monotonic()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue
    _stay(Stay(0, input.file))


@handlers.on("unruly.later", max_attempts=5)
async def later(input: Again) -> None:
    """Wants another attempt, always."""
    raise Retry(input.after, "not yet")


@handlers.on("unruly.talk", timeout=120)
async def talk(input: Talk, job: JobContext) -> int:
    """Emits its chunks, numbered from 1, with progress."""
    for number in range(1, input.chunks + 1):
        job.emit({"n": number, "x": "x" * input.size})
        job.progress(number, input.chunks, f"chunk {number}")
        await asyncio.sleep(input.every)
    await asyncio.sleep(input.linger)
    return input.chunks


@handlers.on("unruly.stumble", max_attempts=3)
async def stumble(_input: Any, job: JobContext) -> int:
    """Emits its attempt's number, and fails twice."""
    job.emit(job.attempt)
    if job.attempt < 3:
        raise Retry(0.2, "stumbled")
    return job.attempt
