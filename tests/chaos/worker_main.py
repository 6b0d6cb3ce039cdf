"""A worker as `services.worker` runs it, with crash points in its adapters; on request with a bug, or a wrong clock.

Started by chaos systems in place of `services.worker`: `python -m tests.chaos.worker_main`.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from services.worker.app import Adapters, connected, serving
from services.worker.settings import Settings
from shared.clock import MILLISECONDS, Clock
from shared.config import load, setting
from shared.lifecycle import Runtime, Service, run
from tests.chaos.planted import PLANTED
from tests.chaos.points import Points, pointed

CLOCKS: Final = {"ahead": 3_600, "behind": -3_600}
"""Seconds by which the clock of a worker so named is wrong (see `HOSTNAME`)."""


@dataclass(frozen=True, kw_only=True)
class ChaosSettings:
    points: str = setting("", env="SLUICE_CHAOS_POINTS", why="folder in which crash points are armed; empty: none")


class WrongClock:
    """A clock whose wall time is off, as long as it runs. Waiting takes as long as with the right one."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._off_by = round(seconds * MILLISECONDS)

    def now(self) -> int:
        return self._clock.now() + self._off_by

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


@asynccontextmanager
async def worker(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    chaos = load(ChaosSettings, os.environ)
    async with (
        connected(settings) as adapters,
        serving(settings, runtime, altered(adapters, settings, chaos)) as service,
    ):
        yield service


def altered(adapters: Adapters, settings: Settings, chaos: ChaosSettings) -> Adapters:
    """The adapters of a worker to whom chaos is done."""
    points = Points(Path(chaos.points))
    planted = points.planted()
    plant = PLANTED.get(planted, pointed)  # it may be the bug of another service
    wrong_by = CLOCKS.get(settings.instance.partition("-")[0], 0)
    clock = WrongClock(adapters.clock, wrong_by) if wrong_by else adapters.clock
    return replace(plant(adapters, points), clock=clock)


if __name__ == "__main__":
    run("worker", Settings, worker)
