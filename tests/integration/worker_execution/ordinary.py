"""Handlers that do what handlers do, and end in every way they may. Loaded by the runners of the tests here."""

import asyncio
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice import Handlers, JobContext, Reject, Retry

handlers = Handlers(queue="ordinary")


@dataclass
class Text:
    text: str = ""
    path: str = ""
    """A file to create when the handler has begun; it holds the process's id."""


def begun(input: Text) -> None:
    whole = Path(f"{input.path}.part")
    whole.write_text(str(os.getpid()))
    whole.rename(input.path)


def note(input: Text, what: str) -> None:
    Path(input.text).write_text(what)


# What handlers do


@handlers.on("echo.loop", timeout=7, max_attempts=3, cache_for=9, version="v2")
async def echo_loop(input: Text) -> Text:
    """Gives back what it got.

    And says so at length.
    """
    return input


@handlers.on("echo.thread", run_in="thread")
def echo_thread(input: Text) -> Text:
    return input


@handlers.on("echo.process", run_in="process")
def echo_process(input: Text) -> Text:
    return input


@handlers.on("context")
async def context(input: Text, job: JobContext) -> dict[str, Any]:
    seen = {"id": job.id, "attempt": job.attempt, "max_attempts": job.max_attempts, "fence": job.fence}
    return {**seen, "deadline": job.deadline.isoformat(), "cancelled": job.cancelled}


def _tell(job: JobContext) -> None:
    for done in range(1_000):
        job.progress(done, 1_000, f"step {done}")
        if done % 100 == 0:
            job.emit({"piece": done})


@handlers.on("tell.loop")
async def tell_loop(input: Text, job: JobContext) -> str:
    _tell(job)
    return "told"


@handlers.on("tell.thread", run_in="thread")
def tell_thread(input: Text, job: JobContext) -> str:
    _tell(job)
    return "told"


@handlers.on("tell.process", run_in="process")
def tell_process(input: Text, job: JobContext) -> str:
    _tell(job)
    return "told"


@handlers.on("tell.early")
async def tell_early(input: Text, job: JobContext) -> str:
    job.emit("first")
    job.progress(1)
    await until_there(input.path)
    return "told"


@handlers.on("flood", run_in="thread")
def flood(input: Text, job: JobContext) -> str:
    for number in range(3_000):
        job.emit([number, "x" * 60_000])
    return "flooded"


def there(path: str) -> bool:
    return Path(path).exists()


async def until_there(path: str) -> None:
    while not there(path):
        await asyncio.sleep(0.005)


@handlers.on("wait.loop")
async def wait_loop(input: Text) -> str:
    """Waits for the file `text`."""
    begun(input)
    await until_there(input.text)
    return "waited"


@handlers.on("wait.thread", run_in="thread")
def wait_thread(input: Text) -> str:
    begun(input)
    while not there(input.text):
        time.sleep(0.005)
    return "waited"


@handlers.on("wait.process", run_in="process")
def wait_process(input: Text) -> str:
    begun(input)
    while not there(input.text):
        time.sleep(0.005)
    return str(os.getpid())


@handlers.on("pid")
async def pid(input: Text) -> int:
    return os.getpid()


# How they end


@handlers.on("retry")
async def retry(input: Text) -> None:
    raise Retry(after=12.5, reason="the other side is busy")


@handlers.on("reject.process", run_in="process")
def reject(input: Text) -> None:
    raise Reject("this will never work")


@handlers.on("reject.group")
async def reject_in_group(input: Text) -> None:
    async def child() -> None:
        raise Reject("said by a task of a group")

    async with asyncio.TaskGroup() as group:
        group.create_task(child())


@handlers.on("fail.value")
async def fail_value(input: Text) -> None:
    raise ValueError(f"no {input.text} here")


@handlers.on("fail.key")
async def fail_key(input: Text) -> None:
    raise KeyError(input.text)


class Mute(Exception):
    def __str__(self) -> str:
        raise SystemExit("not even looked at")

    __repr__ = __str__


RAISED: dict[str, Any] = {
    "mute": Mute,
    "exit": lambda: SystemExit(3),
    "interrupt": KeyboardInterrupt,
    "generator": GeneratorExit,
    "stop": lambda: StopIteration(1),
    "cancelled": asyncio.CancelledError,
    "long": lambda: RuntimeError("é" * 100_000),
    "surrogate": lambda: RuntimeError("\udcff lone"),
    "memory": MemoryError,
}


def raised(input: Text) -> BaseException:
    error: BaseException = RAISED[input.text]()
    return error


@handlers.on("raise.loop")
async def raise_loop(input: Text) -> None:
    raise raised(input)


@handlers.on("raise.thread", run_in="thread")
def raise_thread(input: Text) -> None:
    raise raised(input)


@handlers.on("raise.process", run_in="process")
def raise_process(input: Text) -> None:
    raise raised(input)


@handlers.on("stray")
async def stray(input: Text) -> str:
    """A task of its own tries to end the process, while the handler goes on."""

    async def leave() -> None:
        sys.exit(9)

    task = asyncio.create_task(leave())
    await asyncio.wait({task})
    return type(task.exception()).__name__


@handlers.on("misfit")
async def misfit(input: Text) -> int:
    return "not a number"  # type: ignore[return-value]


@handlers.on("unsayable")
async def unsayable(input: Text) -> Any:
    return object()


@handlers.on("huge", run_in="thread")
def huge(input: Text) -> str:
    return "x" * int(input.text)


@handlers.on("noise", run_in="process")
def noise(input: Text) -> str:
    sys.stdin.read()
    for stream in (sys.stdout, sys.stderr):
        print("a line", file=stream)
        print("y" * 100_000, file=stream)
    os.write(1, b"a raw line\n")
    subprocess.run(["sh", "-c", "echo a line of a child"], check=True)
    return "printed"
