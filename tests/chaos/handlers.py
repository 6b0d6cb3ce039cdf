"""Handlers that record what they do (`effects`) and misbehave as they are told. Run by the workers of chaos systems.

Each output names the run that made it, so that no two runs of a job give the same bytes.
"""

import asyncio
import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from sluice import Handlers, JobContext, Reject, Retry
from tests.chaos.effects import VARIABLE, Recorder, What

QUEUE = "chaos"
LATE_SECONDS = 3.0
"""What `chaos.late` takes, whatever its time limit."""
LARGE_BYTES = 600_000
"""More than an output may have."""
RETRY_SECONDS = 0.2

handlers = Handlers(queue=QUEUE)


@dataclass
class Task:
    work: str
    """Names what is asked for, in the record."""
    seconds: Annotated[float, Field(ge=0, le=120)] = 0.0
    """To take."""
    failures: int = 0
    """Attempts to be tried again."""
    reject: bool = False
    amount: int = 0
    """To be given back, so that there is something to be summed up."""
    padding: str = ""
    kill_worker: str = ""
    """`start` or `end` of the first run: where it takes its whole worker with it. `always`: at each start."""


@dataclass
class Done:
    work: str
    run: str
    amount: int = 0


@handlers.on("chaos.work")
async def work(input: Task, job: JobContext) -> Done:
    """Takes its time without holding anything up."""
    with _recorded(input, job) as done:
        await asyncio.sleep(input.seconds)
        _conclude(input, job)
        return done


@handlers.on("chaos.thread", run_in="thread")
def thread(input: Task, job: JobContext) -> Done:
    """The same in a thread."""
    return _slowly(input, job)


@handlers.on("chaos.process", run_in="process")
def process(input: Task, job: JobContext) -> Done:
    """The same in a process."""
    return _slowly(input, job)


@handlers.on("chaos.deadly")
async def deadly(input: Task, job: JobContext) -> Done:
    """Kills the process that it runs in."""
    with _recorded(input, job) as done:
        os.kill(os.getpid(), signal.SIGKILL)
        return done


@handlers.on("chaos.deadly_thread", run_in="thread")
def deadly_thread(input: Task, job: JobContext) -> Done:
    """The same from a thread, which leaves no trace of who did it."""
    with _recorded(input, job) as done:
        time.sleep(input.seconds)
        os.kill(os.getpid(), signal.SIGKILL)
        return done


@handlers.on("chaos.spin", timeout=3, max_attempts=1)
async def spin(input: Task, job: JobContext) -> Done:
    """Never ends and never lets anything else in its process run."""
    with _recorded(input, job) as done:
        while done.run:
            pass
        return done


@handlers.on("chaos.late", timeout=1, max_attempts=1, run_in="thread")
def late(input: Task, job: JobContext) -> Done:
    """Goes on beyond its time limit, and returns all the same."""
    with _recorded(input, job) as done:
        time.sleep(LATE_SECONDS)
        return done


@handlers.on("chaos.large")
async def large(input: Task, job: JobContext) -> Done:
    """Returns more than a job may."""
    with _recorded(input, job) as done:
        return Done(input.work, done.run + "x" * LARGE_BYTES)


@contextmanager
def _recorded(input: Task, job: JobContext) -> Iterator[Done]:
    run = secrets.token_hex(8)
    recorder = Recorder(
        Path(os.environ[VARIABLE]), work=input.work, job=job.id, attempt=job.attempt, fence=job.fence, run=run
    )
    recorder.record(What.START)
    if input.kill_worker == "always":
        _kill_worker()
    _kill_worker_once(input, job, "start")
    try:
        yield Done(input.work, run, input.amount)
    except BaseException:
        recorder.record(What.RAISE)
        raise
    recorder.record(What.RETURN)
    _kill_worker_once(input, job, "end")


def _slowly(input: Task, job: JobContext) -> Done:
    with _recorded(input, job) as done:
        time.sleep(input.seconds)
        _conclude(input, job)
        return done


def _conclude(input: Task, job: JobContext) -> None:
    if input.reject:
        raise Reject("as asked")
    if job.attempt <= input.failures:
        raise Retry(RETRY_SECONDS, "as asked")


def _kill_worker_once(input: Task, job: JobContext, moment: str) -> None:
    if input.kill_worker != moment:
        return
    mark = Path(f"{os.environ[VARIABLE]}.{job.id}")
    if not mark.exists():
        mark.touch()
        _kill_worker()


def _kill_worker() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)  # until the kernel ends us with it
