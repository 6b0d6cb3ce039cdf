"""P1: reading a finished job by its id, hot and authenticated. What most requests to a job API are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from redis.asyncio import Redis

from tests.load.bench import gateway
from tests.load.client import finished_jobs, stalls
from tests.load.generator.plans import Open
from tests.load.proc import Meter
from tests.load.results import Quantity, Row, at_least, at_most
from tests.load.rivals import redis_url, rival
from tests.load.rows.limits import CONNECTIONS, limits, saturate
from tests.load.rows.limits import QUANTITIES as LIMITS

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    Quantity("stalls", "times that the gateway's loop ran 100 ms late", "", at_most(0)),
    Quantity("half_p50_ms", "latency at half of that rate, open model, p50", "ms"),
    Quantity("half_p99_ms", "the same, p99", "ms"),
)
_KEEP_SECONDS: Final = 3_600


async def measure(bench: Bench) -> list[Row]:
    row = Row("P1", "Finished job by id, hot", QUANTITIES)
    async with bench.system("p1") as system:
        hot = await finished_jobs(system)
        bench.pin_gateway(system)
        await _fill(redis_url(system), hot)
        async with limits(bench, hot[0].body) as bare, rival(bench, row, system, "fastapi_redis") as peer:
            for _ in range(bench.arguments.runs):
                stalled = await stalls(system)
                await _round(bench, row, hot, {**bare, "gateway": gateway(system), **peer})
                row.add({"stalls": await stalls(system) - stalled})
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
    row.judge(tally, of=server.name)
    latencies = tally.latencies
    row.add({"half_p50_ms": latencies.percentile(50) / 1e3, "half_p99_ms": latencies.percentile(99) / 1e3})


async def _fill(url: str, hot: Sequence[Exchange]) -> None:
    redis = Redis.from_url(url)
    for exchange in hot:
        id = exchange.message.split(" ", 2)[1].rpartition("/")[2]
        await redis.set(f"job:{id}", exchange.body.encode(), ex=_KEEP_SECONDS)
    await redis.aclose()
