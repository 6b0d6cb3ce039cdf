"""A service that does nothing but live, as `lifecycle.run` runs any; told by its settings how to misbehave."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shared.config import ServiceSettings, setting
from shared.errors import StoreUnavailable
from shared.lifecycle import Runtime, Service, run, running

_log = logging.getLogger("probe")


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    trouble: str = setting("", why="how to misbehave")


@asynccontextmanager
async def probe(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    if settings.trouble == "start":
        raise RuntimeError("a secret of the start")

    if settings.trouble == "absent":
        _log.info("waiting")
        await asyncio.Event().wait()

    async def check() -> None:
        if settings.trouble == "dependency":
            raise StoreUnavailable("away")

    async def work() -> None:
        if settings.trouble == "work":
            raise RuntimeError("a secret of the work")
        await asyncio.Event().wait()

    async def stop_taking() -> None:
        _log.info("stopped taking")

    async def drain(seconds: float) -> None:
        if settings.trouble == "drain":
            await asyncio.Event().wait()
        _log.info("drained")

    async with running(work()):
        yield Service({"store": check}, stop_taking, drain)


if __name__ == "__main__":
    run("probe", Settings, probe)
