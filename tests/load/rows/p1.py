"""P1: reading a finished job by its id, hot and authenticated. What most requests to a job API are."""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from redis.asyncio import Redis

from deploy.local.system import ROOT
from tests.load.bench import gateway, this_python
from tests.load.client import finished_jobs
from tests.load.generator.plans import Open
from tests.load.proc import Meter
from tests.load.results import Quantity, Row, at_least
from tests.load.rows.limits import CONNECTIONS, limits, saturate
from tests.load.rows.limits import QUANTITIES as LIMITS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from deploy.local.system import System
    from tests.load.bench import Bench, Server
    from tests.load.generator.plans import Exchange

QUANTITIES: Final = (
    Quantity("gateway_rps", "a finished job by id, one gateway on one core", "req/s"),
    Quantity("cpu_us", "gateway CPU a request", "µs"),
    *LIMITS,
    Quantity("of_server", "gateway / bare web.Server", "", at_least(0.6)),
    Quantity("of_server_cpu", "the same by CPU a request (steadier on a busy machine)", ""),
    Quantity("peer_rps", "FastAPI + uvicorn + redis-py, one core", "req/s"),
    Quantity("of_peer", "gateway / FastAPI + redis-py", "", at_least(3)),
    Quantity("of_peer_cpu", "the same by CPU a request", ""),
    Quantity("half_p50_ms", "latency at half of that rate, open model, p50", "ms"),
    Quantity("half_p99_ms", "the same, p99", "ms"),
)
_PEER_DATABASE: Final = 15
_KEEP_SECONDS: Final = 3_600


async def measure(bench: Bench) -> list[Row]:
    row = Row("P1", "Finished job by id, hot", QUANTITIES)
    async with bench.system("p1") as system:
        hot = await finished_jobs(system)
        bench.pin_gateway(system)
        async with limits(bench, hot[0].body) as bare, _peer(bench, row, system, hot) as peer:
            for _ in range(bench.arguments.runs):
                await _round(bench, row, hot, {**bare, "gateway": gateway(system), **peer})
    return [row]


async def _round(bench: Bench, row: Row, hot: Sequence[Exchange], servers: dict[str, Server]) -> None:
    """Everything once, within so short a time that the machine is the same for all."""
    rates: dict[str, float] = {}
    cpu: dict[str, float] = {}
    for name, server in servers.items():
        exchanges = hot if name in {"gateway", "peer"} else [type(each)(each.message, hot[0].body) for each in hot]
        used = Meter({name: [server.pid]})
        tally = await saturate(bench, row, server, exchanges)
        rates[name] = tally.rate
        cpu[name] = used.read()[name] / max(tally.ended, 1)
    row.add({f"{name}_rps": rate for name, rate in rates.items()})
    row.add({"of_server": rates["gateway"] / rates["server"], "of_server_cpu": cpu["server"] / cpu["gateway"]})
    row.add({"cpu_us": cpu["gateway"] * 1e6})
    if "peer" in rates:
        row.add({"of_peer": rates["gateway"] / rates["peer"], "of_peer_cpu": cpu["peer"] / cpu["gateway"]})
    await _at_half(bench, row, servers["gateway"], hot, rates["gateway"] / 2)


async def _at_half(bench: Bench, row: Row, server: Server, hot: Sequence[Exchange], rate: float) -> None:
    seconds, address = bench.arguments.seconds, server.address
    tally = await bench.load(Open(address.host, address.port, list(hot), CONNECTIONS, rate, seconds), seconds)
    row.judge(tally)
    latencies = tally.latencies
    row.add({"half_p50_ms": latencies.percentile(50) / 1e3, "half_p99_ms": latencies.percentile(99) / 1e3})


@asynccontextmanager
async def _peer(bench: Bench, row: Row, system: System, hot: Sequence[Exchange]) -> AsyncIterator[dict[str, Server]]:
    """The rival, running, with the same jobs in Redis; nothing where its packages are missing."""
    python = this_python(bench.arguments)
    if not await _has(python, "fastapi", "uvicorn", "httptools", "uvloop", "redis"):
        row.note("FastAPI was left out, since its packages are missing (dependency group `load`, or --peer-python)")
        yield {}
        return
    redis_url = urlsplit(system.backends.redis.address)._replace(path=f"/{_PEER_DATABASE}").geturl()
    await _fill(redis_url, hot)
    argv = (python, "-m", "uvicorn", "--port", "{port}", "--loop", "uvloop", "--http", "httptools")
    quiet = ("--no-access-log", "--log-level", "warning")
    environ = {**os.environ, "LOAD_REDIS_URL": redis_url, "LOAD_KEYS": _hashed_keys(system), "PYTHONPATH": str(ROOT)}
    application = "tests.load.peers.fastapi_redis:app"
    async with bench.server("fastapi", (*argv, *quiet, application), environ, "/ready") as server:
        yield {"peer": server}


async def _has(python: str, *packages: str) -> bool:
    process = await asyncio.create_subprocess_exec(
        python, "-c", f"import {', '.join(packages)}", stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait() == 0


async def _fill(redis_url: str, hot: Sequence[Exchange]) -> None:
    redis = Redis.from_url(redis_url)
    for exchange in hot:
        id = exchange.message.split(" ", 2)[1].rpartition("/")[2]
        await redis.set(f"job:{id}", exchange.body.encode(), ex=_KEEP_SECONDS)
    await redis.aclose()


def _hashed_keys(system: System) -> str:
    parts = [key.token.split("_", 2) for key in system.keys]
    return ",".join(f"{id}:{hashlib.sha256(secret.encode()).hexdigest()}" for _, id, secret in parts)
