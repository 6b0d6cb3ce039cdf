"""What a running system exposes is what docs/configuration.md lists, by service; and the doctor finds it well."""

import asyncio
import json
import re
import sys

import aiohttp

from deploy.checks import reference
from deploy.local.system import ROOT, System
from tests.acceptance.client import ApiClient
from tests.integration.webhooks.receiver import receiving

WITHIN_SECONDS = 60.0
ON_PUSH = {"sluice_pushes_total"}
"""Kept by workers that are pushed to, which those of this system are not."""


async def scraped(system: System, session: aiohttp.ClientSession, service: str) -> set[str]:
    """The names of the series that the processes of a service expose, of Sluice's own."""
    text = ""
    for name, port in system.admin_ports.items():
        if name.startswith(f"{service}-") and system.processes[name].running:
            async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
                text += await response.text()
    names = set(re.findall(r"^(sluice_\w+)[{ ]", text, re.MULTILINE))
    return {name for name in names if not name.endswith("_created")}


def listed(service: str) -> set[str]:
    """What the reference says that a service keeps."""
    kept = (reference.constants()[name] for name, services in reference.kept().items() if service in services)
    return {series for metric in kept for series in reference.series(metric)}


async def work(api: ApiClient) -> None:
    """One job of each kind that something counts: shared, delayed, held for, told of; and a batch."""
    await api.submit("text.stats", {"text": "metrics"}, wait=20)
    await api.submit("text.stats", {"text": "metrics"})
    await api.over((await api.submit("debug.echo", 1, delay_seconds=1)).json["id"])
    made = await api.request("POST", "/v1/batches", json={"handler": "debug.echo", "inputs": [1, 2]})
    await api.request("GET", f"/v1/batches/{made.json['id']}", headers={"Prefer": "wait=30"})
    async with receiving() as receiver:
        made = await api.request("POST", "/v1/webhooks", json={"url": receiver.url("/metrics")})
        await api.result("debug.echo", 2)
        await receiver.until(1, "/metrics")
        await api.request("DELETE", f"/v1/webhooks/{made.json['id']}")


async def test_what_is_listed_is_exposed(system: System, session: aiohttp.ClientSession, api: ApiClient) -> None:
    await work(api)
    for service in reference.services():
        wanted = listed(service) - ON_PUSH
        deadline = asyncio.get_running_loop().time() + WITHIN_SECONDS
        while missing := wanted - (shown := await scraped(system, session, service)):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.5)
        assert (missing, shown - wanted) == (set(), set()), service


async def test_the_doctor_finds_a_running_system_well(system: System) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.admin", "doctor", "-o", "json"),
        cwd=ROOT,
        env=system.environ(),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    faults = [each for each in json.loads(out) if each["state"] == "fault"]
    assert (process.returncode, faults) == (0, [])
