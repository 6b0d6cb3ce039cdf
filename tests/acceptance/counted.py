"""Handlers that leave a line in a file at each run, so that tests can count what ran."""

import asyncio
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from sluice import Handlers, JobContext, Reject, Retry

handlers = Handlers()

BRIEF_SECONDS = 3
"""For which the results of `counted.brief` last."""


@dataclass
class Work:
    file: str
    """Gets a line a run."""
    value: JsonValue = None
    seconds: float = 0.0
    """To take."""
    failures: int = 0
    """How many attempts are to be tried again."""
    reject: bool = False


@dataclass
class Done:
    value: JsonValue
    run: str
    """Random: tells runs apart."""


@handlers.on("counted.cached", cache_for=600, timeout=120)
async def cached(input: Work, job: JobContext) -> Done:
    """Works, is counted, and is shared."""
    return await _work(input, job)


@handlers.on("counted.brief", cache_for=BRIEF_SECONDS)
async def brief(input: Work, job: JobContext) -> Done:
    """The same, shared for a moment."""
    return await _work(input, job)


@handlers.on("counted.plain")
async def plain(input: Work, job: JobContext) -> Done:
    """The same, never shared."""
    return await _work(input, job)


async def _work(input: Work, job: JobContext) -> Done:
    run = secrets.token_hex(8)
    _count(Path(input.file), run)
    await asyncio.sleep(input.seconds)
    if input.reject:
        raise Reject("as asked")
    if job.attempt <= input.failures:
        raise Retry(0.1, "as asked")
    return Done(input.value, run)


def _count(file: Path, run: str) -> None:
    """One write, so that lines of several processes do not mix. Only where tests keep files: others send any name."""
    if file != Path(os.devnull) and not file.is_relative_to(tempfile.gettempdir()):
        return
    with file.open("ab", buffering=0) as lines:
        lines.write(f"{run} {os.getpid()}\n".encode())


class Runs:
    """The runs of one piece of work. A new file is a new piece of work."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def input(self, **fields: Any) -> dict[str, Any]:
        """What the handlers take."""
        return {"file": str(self.file), **fields}

    @property
    def count(self) -> int:
        return len(self.file.read_bytes().splitlines()) if self.file.exists() else 0
