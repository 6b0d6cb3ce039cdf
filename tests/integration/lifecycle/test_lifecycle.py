"""How a process lives and ends: ready when it is, down by the ladder, and never hanging for good."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from deploy.local.ports import choose_port
from shared.lifecycle import EXIT_CONFIG
from tests.unit.shared.telemetry.collector import collecting

ROOT = Path(__file__).parents[3]


@dataclass
class Process:
    process: asyncio.subprocess.Process
    port: int
    session: aiohttp.ClientSession

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(f"http://127.0.0.1:{self.port}{path}") as response:
            return response.status, await response.text()

    async def until(self, path: str, status: int) -> str:
        async with asyncio.timeout(20):
            while True:
                try:
                    found, text = await self.get(path)
                    if found == status:
                        return text
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(0.02)

    async def lines(self) -> list[dict[str, Any]]:
        assert self.process.stdout is not None
        return [orjson.loads(line) for line in (await self.process.stdout.read()).splitlines()]

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), 15)


@asynccontextmanager
async def started(**environ: str) -> AsyncIterator[Process]:
    port = choose_port()
    settings = {"SLUICE_ID_KEYS": "1:" + "ab" * 32, "SLUICE_ADMIN_PORT": str(port), **environ}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.lifecycle.probe_service"),
        cwd=ROOT,
        env={**os.environ, **settings},
        stdout=asyncio.subprocess.PIPE,
    )
    async with aiohttp.ClientSession() as session:
        try:
            yield Process(process, port, session)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def test_a_service_is_live_ready_measured_and_ends_in_order() -> None:
    async with started() as service:
        await service.until("/readyz", 200)
        assert (await service.get("/livez"))[0] == 200
        assert "process_cpu_seconds_total" in (await service.get("/metrics"))[1]
        service.process.send_signal(signal.SIGTERM)
        assert await service.ended() == 0
        said = [line["message"] for line in await service.lines()]
        assert said == ["started", "draining", "stopped taking", "drained", "stopped"]


async def test_a_dependency_that_is_absent_leaves_it_live_and_not_ready() -> None:
    async with started(SLUICE_TROUBLE="dependency") as service:
        report = orjson.loads(await service.until("/readyz", 503))
        assert (await service.get("/livez"))[0] == 200
        async with asyncio.timeout(20):
            while not report["checks"]:
                report = orjson.loads((await service.get("/readyz"))[1])
        assert report == {"ready": False, "checks": {"store": "StoreUnavailable"}}


async def test_a_service_that_waits_in_its_start_ends_when_it_is_told_to() -> None:
    """R14: what it waits for may never come."""
    async with started(SLUICE_TROUBLE="absent") as service:
        await service.until("/livez", 200)
        began = asyncio.get_running_loop().time()
        service.process.send_signal(signal.SIGTERM)
        assert await service.ended() == 0
        assert asyncio.get_running_loop().time() - began < 5
        said = [line["message"] for line in await service.lines()]
        assert said == ["waiting", "told to stop while starting", "stopped"]


async def test_a_drain_that_hangs_is_left_behind_in_under_ten_seconds() -> None:
    async with started(SLUICE_TROUBLE="drain") as service:
        await service.until("/readyz", 200)
        began = asyncio.get_running_loop().time()
        service.process.send_signal(signal.SIGTERM)
        assert await service.ended() == 1
        assert asyncio.get_running_loop().time() - began < 10.5
        assert (await service.lines())[-1]["severity"] == "CRITICAL"


@pytest.mark.parametrize("trouble", ["start", "work"])
async def test_a_failure_ends_the_process_with_a_line_that_quotes_nothing(trouble: str) -> None:
    async with started(SLUICE_TROUBLE=trouble) as service:
        assert await service.ended() == 1
        last = (await service.lines())[-1]
        assert (last["severity"], last["message"]) == ("CRITICAL", "the service failed")
        assert "secret" not in str(last)


async def test_settings_that_cannot_be_used_are_named_without_their_values() -> None:
    async with started(SLUICE_ADMIN_PORT="no-port", SLUICE_DRAIN_SECONDS="soon") as service:
        assert await service.ended() == EXIT_CONFIG
        [line] = await service.lines()
        assert "SLUICE_ADMIN_PORT" in line["faults"]
        assert "SLUICE_DRAIN_SECONDS" in line["faults"]
        assert "no-port" not in str(line)


async def test_its_metrics_go_to_the_collector_that_it_is_told_of() -> None:
    async with collecting() as collector, started(SLUICE_OTLP_ENDPOINT=collector.endpoint) as service:
        await service.until("/readyz", 200)
        service.process.send_signal(signal.SIGTERM)
        assert await service.ended() == 0
        assert "process_cpu_seconds" in collector.latest


async def test_a_collector_that_is_not_there_keeps_nobody_from_ending() -> None:
    async with started(SLUICE_OTLP_ENDPOINT=f"http://127.0.0.1:{choose_port()}") as service:
        await service.until("/readyz", 200)
        service.process.send_signal(signal.SIGTERM)
        assert await service.ended() == 0
        assert "metrics were not exported" in [line["message"] for line in await service.lines()]
