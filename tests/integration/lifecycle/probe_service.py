"""A service that does nothing but live, as `lifecycle.run` runs any; told by its settings how to misbehave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shared.config import ServiceSettings, setting
from shared.errors import StoreUnavailable
from shared.lifecycle import Runtime, Service, run, running


@dataclass(frozen=True, kw_only=True)
class Settings(ServiceSettings):
    trouble: str = setting("", why="how to misbehave")


@asynccontextmanager
async def probe(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    if settings.trouble == "start":
        raise RuntimeError("a secret of the start")

    async def check() -> None:
        if settings.trouble == "dependency":
            raise StoreUnavailable("away")

    async def work() -> None:
        if settings.trouble == "work":
            raise RuntimeError("a secret of the work")
        await asyncio.Event().wait()

    async def stop_taking() -> None:
        print('{"message": "stopped taking"}', flush=True)  # noqa: T201 - what the test reads

    async def drain(seconds: float) -> None:
        if settings.trouble == "drain":
            await asyncio.Event().wait()
        print('{"message": "drained"}', flush=True)  # noqa: T201

    async with running(work()):
        yield Service({"store": check}, stop_taking, drain)


if __name__ == "__main__":
    run("probe", Settings, probe)
