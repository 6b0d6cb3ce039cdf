"""Handlers that do nothing useful, on purpose: for trying an installation, and for tests that need a job to order.

`debug.echo` answers at once, `debug.sleep` takes as long as it is told, `debug.fail` never works and `debug.flaky`
works after a few attempts. Nothing here is cached: who asks wants it to happen.
"""

import asyncio
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, JsonValue

from sluice import Handlers, JobContext

handlers = Handlers()

LONGEST_SLEEP = 500
LOOK_UP_EVERY = 1.0
"""Seconds between looks at whether the sleeper is still wanted."""


class Failed(Exception):
    """What `debug.fail` and `debug.flaky` fail with."""


@dataclass
class Nap:
    seconds: Annotated[float, Field(ge=0, le=LONGEST_SLEEP)]
    steps: Annotated[int, Field(ge=0, le=1_000)] = 0
    """Report progress, and emit the step's number, after each of this many equal parts."""


@dataclass
class Slept:
    slept: float
    """Seconds; fewer than asked for when the job was cancelled."""


@dataclass
class Failure:
    message: Annotated[str, Field(max_length=1_000)] = "failed as asked"


@dataclass
class Flakiness:
    failures: Annotated[int, Field(ge=0, le=100)]
    """How many attempts fail before one works."""


@dataclass
class Recovered:
    attempts: int


@handlers.on("debug.echo")
async def echo(input: JsonValue) -> JsonValue:
    """Returns its input."""
    return input


@handlers.on("debug.sleep", timeout=LONGEST_SLEEP + 30)
async def sleep(input: Nap, job: JobContext) -> Slept:
    """Waits, without holding up anything else, and says how long it waited."""
    slept = 0.0
    for step in range(1, max(input.steps, 1) + 1):
        slept += await _sleep(input.seconds / max(input.steps, 1), job)
        if job.cancelled:
            break
        if input.steps:
            job.progress(step, input.steps)
            job.emit({"step": step})
    return Slept(slept if job.cancelled else input.seconds)


async def _sleep(seconds: float, job: JobContext) -> float:
    left = seconds
    while left > 0 and not job.cancelled:
        nap = min(left, LOOK_UP_EVERY)
        await asyncio.sleep(nap)
        left -= nap
    return seconds - left


@handlers.on("debug.fail")
async def fail(input: Failure) -> None:
    """Fails at every attempt."""
    raise Failed(input.message)


@handlers.on("debug.flaky")
async def flaky(input: Flakiness, job: JobContext) -> Recovered:
    """Fails until it has been tried often enough."""
    if job.attempt <= input.failures:
        raise Failed(f"attempt {job.attempt} fails, as the first {input.failures} do")
    return Recovered(attempts=job.attempt)
