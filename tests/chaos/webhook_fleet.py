"""Webhooks services in processes of their own, on the session's backends, to be killed, frozen and ended."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from deploy.local.backends import Backends
from deploy.local.system import ROOT
from services.webhooks.settings import Settings
from tests.integration.webhooks.bench import ID_KEYS, WEBHOOK_KEYS, apply_topology, settings_for


@dataclass
class Process:
    """A webhooks service in a process of its own. module: what is run."""

    settings: Settings
    environ: Mapping[str, str]
    module: str = "services.webhooks"
    running: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self.running is not None
        return self.running.pid

    async def start(self) -> None:
        self.running = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self.module,
            cwd=ROOT,
            env={**os.environ, **self.environ},
            stdout=asyncio.subprocess.DEVNULL,
        )

    def send(self, number: int) -> None:
        assert self.running is not None
        self.running.send_signal(number)

    async def over(self) -> int:
        """Its exit status once it has ended."""
        assert self.running is not None
        return await self.running.wait()

    async def end(self, number: int = signal.SIGKILL) -> int:
        assert self.running is not None
        if self.running.returncode is None:
            self.send(signal.SIGCONT)
            self.send(number)
        return await self.over()


@asynccontextmanager
async def fleet(
    backends: Backends, count: int, module: str = "services.webhooks", **environ: str
) -> AsyncIterator[tuple[Settings, list[Process]]]:
    """Instances that share a project; leases of seconds, so that takeovers are quick."""
    settings = settings_for(backends, project=f"w{os.urandom(6).hex()}")
    common = {
        "SLUICE_PROJECT": settings.project,
        "SLUICE_PREFIX": settings.prefix,
        "SLUICE_ID_KEYS": ID_KEYS,
        "SLUICE_WEBHOOK_KEYS": WEBHOOK_KEYS,
        "SLUICE_WEBHOOKS_ALLOW_LOCAL": "1",
        "SLUICE_SHARD_LEASE_SECONDS": "4",
        "SLUICE_CLAIM_SECONDS": "6",
        "SLUICE_TOTAL_SECONDS": "1",
        "SLUICE_POLL_SECONDS": "0.2",
        **environ,
        **backends.environ(),
    }
    await apply_topology(settings)
    processes = [Process(settings, {**common, "HOSTNAME": f"webhooks-{n}"}, module) for n in range(count)]
    try:
        for process in processes:
            await process.start()
        yield settings, processes
    finally:
        for process in processes:
            await process.end()
