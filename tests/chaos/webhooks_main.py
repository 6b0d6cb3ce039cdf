"""A webhooks service as `services.webhooks` runs it, with crash points in its adapters.

Started by chaos tests in place of `services.webhooks`: `python -m tests.chaos.webhooks_main`.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.webhooks.app import connected, serving
from services.webhooks.settings import Settings
from shared.lifecycle import Runtime, Service, run
from tests.chaos.points import Points
from tests.chaos.webhook_points import pointed_webhooks


@asynccontextmanager
async def webhooks(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    points = Points(Path(os.environ["SLUICE_CHAOS_POINTS"]))
    async with (
        connected(settings) as adapters,
        serving(settings, runtime, pointed_webhooks(adapters, points)) as service,
    ):
        yield service


if __name__ == "__main__":
    run("webhooks", Settings, webhooks)
