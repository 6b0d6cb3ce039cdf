"""P3: no-op jobs from submit to the client's sight of the end, and what they cost in CPU.

As the peers' clients do, and unlike the best use of Sluice, each job is submitted and then asked for: a POST, and one
GET with `Prefer: wait`. Everything shares the machine: generator, services and emulators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.load.bench import NO_OP, WARM_SECONDS, gateway, meter, tokens
from tests.load.client import stalls
from tests.load.generator.plans import Jobs
from tests.load.results import Quantity, Row, at_least, at_most

if TYPE_CHECKING:
    from deploy.local.system import System
    from tests.load.bench import Bench

IN_FLIGHT: Final = 256

QUANTITIES: Final = (
    Quantity("jobs_per_s", f"no-op jobs end to end, {IN_FLIGHT} in flight", "/s", at_least(1_000)),
    Quantity("cpu", "gateway + worker, CPU a 1,000 jobs", "s", at_most(0.30)),
    Quantity("gateway_cpu", "of it the gateway", "s"),
    Quantity("worker_cpu", "of it the worker", "s"),
    Quantity("backends_cpu", "emulators and Redis, CPU a 1,000 jobs", "s"),
    Quantity("stalls", "times that a gateway's loop ran 100 ms late", "", at_most(0)),
    Quantity("p50_ms", "submit to result under that load, p50", "ms"),
    Quantity("p99_ms", "the same, p99", "ms"),
)


async def measure(bench: Bench) -> list[Row]:
    row = Row("P3", "No-op jobs end to end", QUANTITIES)
    async with bench.system("p3") as system:
        for _ in range(bench.arguments.runs):
            await _run(bench, row, system)
    return [row]


async def _run(bench: Bench, row: Row, system: System) -> None:
    seconds, address = bench.arguments.seconds, gateway(system).address
    plan = Jobs(address.host, address.port, tokens(system), NO_OP, IN_FLIGHT, WARM_SECONDS, seconds)
    used, stalled = meter(system), await stalls(system)
    tally = await bench.load(plan, WARM_SECONDS + seconds, apart=False)
    cpu, thousands = used.read(), max(tally.ended, 1) / 1_000
    row.judge(tally)
    row.add({"jobs_per_s": tally.rate, "stalls": await stalls(system) - stalled})
    row.add({"cpu": (cpu["gateway"] + cpu["worker"]) / thousands})
    row.add({f"{name}_cpu": cpu[name] / thousands for name in ("gateway", "worker")})
    row.add({"backends_cpu": sum(cpu.get(name, 0.0) for name in ("pubsub", "firestore", "redis")) / thousands})
    row.add({"p50_ms": tally.latencies.percentile(50) / 1e3, "p99_ms": tally.latencies.percentile(99) / 1e3})
