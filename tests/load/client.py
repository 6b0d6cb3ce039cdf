"""The few requests that the harness makes itself, to prepare a row or to look at what is left. Never measured."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from deploy.local.ports import LOOPBACK
from tests.load.bench import NO_OP
from tests.load.generator.http1 import get
from tests.load.generator.plans import Exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from deploy.local.system import System

_SECONDS: Final = 30.0
_HELD_SECONDS: Final = 60.0
_LOOK_EVERY: Final = 0.1
_HELD: Final = "sluice_http_requests_held "
_STALLS: Final = "sluice_loop_stalls_total "


class UnpreparedError(Exception):
    """The system did not get into the state that a row begins with."""


@asynccontextmanager
async def _session(base_url: str) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    async with aiohttp.ClientSession(base_url, timeout=timeout) as session:
        yield session


def bearer(token: str) -> dict[str, str]:
    """The header that shows a key."""
    return {"Authorization": f"Bearer {token}"}


async def finished_jobs(system: System) -> list[Exchange]:
    """One finished job a key: the request that reads it, and the bytes that must come. Raises UnpreparedError."""
    async with _session(system.base_url) as session:
        return [await _finished_job(session, key.token, number) for number, key in enumerate(system.keys)]


async def _finished_job(session: aiohttp.ClientSession, token: str, number: int) -> Exchange:
    order = {"handler": NO_OP, "input": {"n": number, "text": "x" * 64}}
    headers = {**bearer(token), "Prefer": "wait=20"}
    async with session.post("/v1/jobs", json=order, headers=headers) as answer:
        if answer.status != 200:
            raise UnpreparedError(f"a job was answered {answer.status}: {await answer.text()}")
        id = (await answer.json())["id"]
    async with session.get(f"/v1/jobs/{id}", headers=bearer(token)) as answer:
        return Exchange(get(f"/v1/jobs/{id}", token).decode(), await answer.text())


async def statuses(system: System, ids: Sequence[str]) -> list[str]:
    """What each job is said to be: its status, or the HTTP status where that is not 200."""
    async with _session(system.base_url) as session:
        return [await _status(session, system.keys[0].token, id) for id in ids]


async def _status(session: aiohttp.ClientSession, token: str, id: str) -> str:
    async with session.get(f"/v1/jobs/{id}", headers=bearer(token)) as answer:
        job: dict[str, Any] = await answer.json()
        return str(job["status"]) if answer.status == 200 else str(answer.status)


async def stalls(system: System) -> float:
    """How often the gateways' loops ran late since they started, by their own metric. Raises UnpreparedError."""
    return await _over_gateways(system, _STALLS)


async def until_held(system: System, count: int) -> None:
    """Return when the gateways hold `count` requests together, by their own metric. Raises UnpreparedError."""
    held = 0.0
    try:
        async with asyncio.timeout(_HELD_SECONDS):
            while (held := await _over_gateways(system, _HELD)) < count:
                await asyncio.sleep(_LOOK_EVERY)
    except TimeoutError:
        raise UnpreparedError(f"{held:,.0f} of {count:,} requests were held after {_HELD_SECONDS:.0f} s") from None


async def _over_gateways(system: System, metric: str) -> float:
    ports = [port for name, port in system.admin_ports.items() if name.startswith("gateway")]
    return sum([await _exposed(f"http://{LOOPBACK}:{port}", metric) for port in ports])


async def _exposed(admin_url: str, metric: str) -> float:
    async with _session(admin_url) as session, session.get("/metrics") as answer:
        for line in (await answer.text()).splitlines():
            if line.startswith(metric):
                return float(line.removeprefix(metric))
    raise UnpreparedError(f"the gateway exposes no metric {metric.strip()}")
