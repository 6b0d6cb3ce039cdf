"""P2: jobs accepted, each answered 202 after the broker's acknowledgement. No worker runs meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from deploy.local.steps import together
from tests.load.bench import NO_OP, WARM_SECONDS, gateway, meter, tokens
from tests.load.client import statuses
from tests.load.generator.http1 import post
from tests.load.generator.plans import Closed, Exchange
from tests.load.results import Quantity, Row, at_least

if TYPE_CHECKING:
    from deploy.local.system import System
    from tests.load.bench import Bench

QUANTITIES: Final = (
    Quantity("accepted_per_s", "jobs accepted, 64 connections, one gateway on one core", "/s", at_least(7_700)),
    Quantity("p50_ms", "time to the 202 under that load, p50", "ms"),
    Quantity("p99_ms", "the same, p99", "ms"),
    Quantity("gateway_cpu", "gateway CPU a 1,000 accepted", "s"),
    Quantity("broker_cpu", "the broker's emulator, CPU a 1,000 accepted", "s"),
)
CONNECTIONS: Final = 64
_SAMPLED: Final = 20


async def measure(bench: Bench) -> list[Row]:
    row = Row("P2", "Jobs accepted", QUANTITIES)
    row.note("7,700/s stands for 3 times the best of Celery, arq, taskiq and SAQ where that makes 2,570/s")
    async with bench.system("p2") as system:
        await together(worker.stop() for worker in system.services["worker"])
        bench.pin_gateway(system)
        for _ in range(bench.arguments.runs):
            await _run(bench, row, system)
    return [row]


def _orders(keys: list[str]) -> list[Exchange]:
    """A request that submits a no-op job, for each key."""
    body = orjson.dumps({"handler": NO_OP, "input": {"text": "x" * 64}})
    return [Exchange(post("/v1/jobs", body, key).decode()) for key in keys]


async def _run(bench: Bench, row: Row, system: System) -> None:
    seconds, address = bench.arguments.seconds, gateway(system).address
    used = meter(system)
    plan = Closed(
        address.host, address.port, _orders(tokens(system)), CONNECTIONS, WARM_SECONDS, seconds, check="accepted"
    )
    tally = await bench.load(plan, WARM_SECONDS + seconds)
    cpu, thousands = used.read(), max(len(tally.ids), 1) / 1_000
    row.judge(tally)
    row.add({"accepted_per_s": tally.rate})
    row.add({"p50_ms": tally.latencies.percentile(50) / 1e3, "p99_ms": tally.latencies.percentile(99) / 1e3})
    row.add({"gateway_cpu": cpu["gateway"] / thousands, "broker_cpu": cpu.get("pubsub", 0.0) / thousands})
    sample = list(tally.ids)[:: max(len(tally.ids) // _SAMPLED, 1)]
    row.wrong += [
        f"an accepted job is said to be {each}" for each in await statuses(system, sample) if each != "queued"
    ]
