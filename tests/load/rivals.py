"""Starts what we are measured against: FastAPI applications of `peers`, on the core that is measured.

Used by rows; where the packages are missing (dependency group `load`) a rival is left out, and the row says so.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from deploy.local.system import ROOT
from tests.load.bench import this_python

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from deploy.local.system import System
    from tests.load.bench import Bench, Server
    from tests.load.results import Row

_DATABASE: Final = 15
_FRONT: Final = ("fastapi", "uvicorn", "httptools", "uvloop", "redis")
_QUIET: Final = ("--no-access-log", "--log-level", "warning")


@asynccontextmanager
async def rival(
    bench: Bench, row: Row, system: System, application: str, *, packages: tuple[str, ...] = (), queue: str = ""
) -> AsyncIterator[dict[str, Server]]:
    """The rival by its name (`queue`, or `peer`), running; nothing where its packages are missing.

    application: a module of `peers` with an `app`. Its Redis is the system's, in a database of its own.
    """
    python, name = this_python(bench.arguments), queue or "peer"
    if not await _has(python, *_FRONT, *packages):
        row.note(f"{application} was left out, since its packages are missing (group `load`, or --peer-python)")
        yield {}
        return
    argv = (python, "-m", "uvicorn", "--port", "{port}", "--loop", "uvloop", "--http", "httptools", *_QUIET)
    environ = {
        **os.environ,
        "LOAD_REDIS_URL": redis_url(system),
        "LOAD_KEYS": _hashed_keys(system),
        "LOAD_QUEUE": queue,
        "PYTHONPATH": str(ROOT),
    }
    async with bench.server(
        f"{application}-{name}", (*argv, f"tests.load.peers.{application}:app"), environ, "/ready"
    ) as it:
        yield {name: it}


def redis_url(system: System) -> str:
    """Of the rivals' database."""
    return urlsplit(system.backends.redis.address)._replace(path=f"/{_DATABASE}").geturl()


async def _has(python: str, *packages: str) -> bool:
    process = await asyncio.create_subprocess_exec(
        python, "-c", f"import {', '.join(packages)}", stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait() == 0


def _hashed_keys(system: System) -> str:
    parts = [key.token.split("_", 2) for key in system.keys]
    return ",".join(f"{id}:{hashlib.sha256(secret.encode()).hexdigest()}" for _, id, secret in parts)
