"""Starts what we are measured against: the FastAPI applications of `peers`, and the workers of its job queues.

A rival ends with its block, and whatever it started itself with it. Used by rows; where its packages are missing
(dependency group `load`) it is left out, and the row says so.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from deploy.local.system import ROOT
from tests.load.bench import this_python

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from deploy.local.system import System
    from tests.load.bench import Bench, Server
    from tests.load.results import Row

_QUEUES: Final = "tests.load.peers.queues"
_DATABASE: Final = 15
_PACKAGES: Final = ("fastapi", "uvicorn", "httptools", "uvloop", "redis")
_QUIET: Final = ("--no-access-log", "--log-level", "warning")


@dataclass(frozen=True, slots=True)
class Library:
    """A job queue that a Python team may pick.

    name: as people write it. packages: what its interpreter must have. worker: what that is told to run, one process
    of the library, quiet like the fronts.
    """

    name: str
    packages: tuple[str, ...]
    worker: tuple[str, ...]


QUEUES: Final[dict[str, Library]] = {
    "celery": Library(
        "Celery",
        ("celery",),
        ("celery", "--app", f"{_QUEUES}.celery", "worker", "--pool", "prefork", "--concurrency", "2"),
    ),
    "arq": Library("arq", ("arq",), ("arq", f"{_QUEUES}.arq.Worker", "--custom-log-dict", f"{_QUEUES}.arq.QUIET")),
    "taskiq": Library(
        "taskiq (list)",
        ("taskiq", "taskiq_redis"),
        ("taskiq", "worker", "--workers", "1", "--log-level", "WARNING", f"{_QUEUES}.taskiq:broker"),
    ),
    "saq": Library("SAQ", ("saq",), ("saq", f"{_QUEUES}.saq.settings")),
}
"""By their modules in `peers.queues`."""


@dataclass(frozen=True, slots=True)
class Team:
    """A queue at work. worker: the number of the process that its worker is, or began as."""

    front: Server
    worker: int


@asynccontextmanager
async def rival(bench: Bench, row: Row, system: System, application: str) -> AsyncIterator[dict[str, Server]]:
    """`peer`: the application, a module of `peers`, on the core that is measured. Nothing where packages are missing.

    Its Redis is the system's, in a database of its own, as every rival's.
    """
    if not await _runs(bench, row, application, ()):
        yield {}
        return
    async with _front(bench, f"{application}-peer", application, _environ(system), alone=True) as server:
        yield {"peer": server}


@asynccontextmanager
async def queue_front(bench: Bench, row: Row, system: System, queue: str) -> AsyncIterator[dict[str, Server]]:
    """The front of one of QUEUES by its name, on the core that is measured, without a worker; or nothing, likewise."""
    if not await _runs(bench, row, queue, QUEUES[queue].packages):
        yield {}
        return
    environ = {**_environ(system), "LOAD_QUEUE": queue}
    async with _front(bench, f"front-{queue}", "fastapi_queue", environ, alone=True) as server:
        yield {queue: server}


@asynccontextmanager
async def team(bench: Bench, row: Row, system: System, queue: str) -> AsyncIterator[Team | None]:
    """One of QUEUES with front and worker, on whatever cores the kernel gives them, once a job has come back.

    None where packages are missing. Raises StartFailedError.
    """
    library = QUEUES[queue]
    if not await _runs(bench, row, queue, library.packages):
        yield None
        return
    environ = {**_environ(system), "LOAD_QUEUE": queue}
    async with _front(bench, f"front-{queue}", "fastapi_queue", environ, alone=False) as front:
        argv = (this_python(bench.arguments), "-m", *library.worker)
        works = f"http://{front.address.host}:{front.address.port}/works"
        async with bench.process(f"worker-{queue}", argv, environ, works) as worker:
            yield Team(front, worker)


def _front(
    bench: Bench, name: str, application: str, environ: Mapping[str, str], *, alone: bool
) -> AbstractAsyncContextManager[Server]:
    server = ("uvicorn", "--port", "{port}", "--loop", "uvloop", "--http", "httptools", *_QUIET)
    argv = (this_python(bench.arguments), "-m", *server, f"tests.load.peers.{application}:app")
    return bench.server(name, argv, environ, "/ready", alone=alone)


def _environ(system: System) -> dict[str, str]:
    return {
        **os.environ,
        "LOAD_REDIS_URL": redis_url(system),
        "LOAD_KEYS": _hashed_keys(system),
        "PYTHONPATH": str(ROOT),
    }


def redis_url(system: System) -> str:
    """Of the rivals' database."""
    return urlsplit(system.backends.redis.address)._replace(path=f"/{_DATABASE}").geturl()


async def _runs(bench: Bench, row: Row, name: str, packages: tuple[str, ...]) -> bool:
    """Whether all it needs is installed; the row says so when not."""
    found = await _has(this_python(bench.arguments), *_PACKAGES, *packages)
    if not found:
        row.note(f"{name} was left out, since its packages are missing (group `load`, or --peer-python)")
    return found


async def _has(python: str, *packages: str) -> bool:
    process = await asyncio.create_subprocess_exec(
        python, "-c", f"import {', '.join(packages)}", stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait() == 0


def _hashed_keys(system: System) -> str:
    parts = [key.token.split("_", 2) for key in system.keys]
    return ",".join(f"{id}:{hashlib.sha256(secret.encode()).hexdigest()}" for _, id, secret in parts)
