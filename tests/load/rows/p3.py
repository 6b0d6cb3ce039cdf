"""P3: no-op jobs from submit to the client's sight of the end, and what they cost in CPU.

As the peers' clients do, each job is submitted and then asked for: a POST, and one GET with `Prefer: wait`. What Sluice
takes where the POST waits itself, which is its best use, is measured beside it and compared with nobody. Everything
shares the machine: generator, services and emulators. In each run the queues that a Python team would run instead
follow one after another under the same load, each on its own; Sluice then idles beside them, and the row says what that
took.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.load.bench import NO_OP, WARM_SECONDS, gateway, meter, tokens
from tests.load.client import stalls
from tests.load.generator.plans import Jobs
from tests.load.proc import Meter
from tests.load.results import Quantity, Row, at_least, at_most
from tests.load.rivals import QUEUES, team

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.local.system import System
    from tests.load.bench import Bench, Server
    from tests.load.generator.plans import Tally

IN_FLIGHT: Final = 256


def _against(queue: str, name: str) -> tuple[Quantity, ...]:
    return (
        Quantity(f"{queue}_per_s", f"FastAPI + {name} on Redis, neither on disk nor replicated", "/s"),
        Quantity(f"of_{queue}", f"Sluice / {name}", ""),
        Quantity(f"{queue}_cpu", f"{name}: front + worker, CPU a 1,000 jobs", "s"),
        Quantity(f"{queue}_front_cpu", f"{name}: of it the front", "s"),
        Quantity(f"of_{queue}_cpu", f"Sluice / {name}, CPU a job", ""),
        Quantity(f"{queue}_p50_ms", f"{name}: submit to result, p50", "ms"),
    )


QUANTITIES: Final = (
    Quantity("jobs_per_s", f"no-op jobs end to end, {IN_FLIGHT} in flight", "/s", at_least(1_000)),
    Quantity("cpu", "gateway + worker, CPU a 1,000 jobs", "s", at_most(0.30)),
    Quantity("gateway_cpu", "of it the gateway", "s"),
    Quantity("worker_cpu", "of it the worker", "s"),
    Quantity("backends_cpu", "emulators and Redis, CPU a 1,000 jobs", "s"),
    Quantity("stalls", "times that a gateway's loop ran 100 ms late", "", at_most(0)),
    Quantity("p50_ms", "submit to result under that load, p50", "ms"),
    Quantity("p99_ms", "the same, p99", "ms"),
    Quantity("at_once_per_s", "jobs whose POST waits for the end", "/s"),
    Quantity("at_once_cpu", "gateway + worker, CPU for 1,000 of these", "s"),
    *(quantity for queue, library in QUEUES.items() for quantity in _against(queue, library.name)),
    Quantity("idle_cores", "Sluice and its emulators, idle beside the others", "cores"),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What jobs took, of Sluice and of a queue alike.

    rate: jobs a second. front_cpu, worker_cpu: seconds a 1,000 jobs.
    """

    rate: float
    front_cpu: float
    worker_cpu: float

    @property
    def cpu(self) -> float:
        return self.front_cpu + self.worker_cpu


def compared(queue: str, ours: Cost, theirs: Cost) -> dict[str, float]:
    """A queue's figures and the ratios, Sluice's over its. Raises ValueError when a job of it took nothing."""
    if not theirs.rate or not theirs.cpu:
        raise ValueError(f"{queue} did nothing that can be compared")
    return {
        f"{queue}_per_s": theirs.rate,
        f"of_{queue}": ours.rate / theirs.rate,
        f"{queue}_cpu": theirs.cpu,
        f"{queue}_front_cpu": theirs.front_cpu,
        f"of_{queue}_cpu": ours.cpu / theirs.cpu,
    }


async def measure(bench: Bench) -> list[Row]:
    row = Row("P3", "No-op jobs end to end", QUANTITIES)
    async with bench.system("p3") as system:
        for _ in range(bench.arguments.runs):
            ours = await _run(bench, row, system)
            beside, began = meter(system), time.monotonic()
            for queue in QUEUES:
                await _rival_run(bench, row, system, queue, ours)
            idle, took = beside.read(), time.monotonic() - began
            row.add({"idle_cores": sum(seconds for name, seconds in idle.items() if name != "redis") / took})
    return [row]


async def _load(bench: Bench, row: Row, system: System, server: Server, *, at_once: bool = False) -> Tally:
    """The same for all."""
    seconds, address = bench.arguments.seconds, server.address
    plan = Jobs(address.host, address.port, tokens(system), NO_OP, IN_FLIGHT, WARM_SECONDS, seconds, at_once)
    tally = await bench.load(plan, WARM_SECONDS + seconds, apart=False)
    row.judge(tally, of=server.name)
    return tally


async def _run(bench: Bench, row: Row, system: System) -> Cost:
    stalled = await stalls(system)
    tally, cost, cpu = await _ours(bench, row, system)
    thousands = max(tally.ended, 1) / 1_000
    row.add({"jobs_per_s": cost.rate, "stalls": await stalls(system) - stalled})
    row.add({"cpu": cost.cpu, "gateway_cpu": cost.front_cpu, "worker_cpu": cost.worker_cpu})
    row.add({"backends_cpu": sum(cpu.get(name, 0.0) for name in ("pubsub", "firestore", "redis")) / thousands})
    row.add({"p50_ms": tally.latencies.percentile(50) / 1e3, "p99_ms": tally.latencies.percentile(99) / 1e3})
    _, at_once, _ = await _ours(bench, row, system, at_once=True)
    row.add({"at_once_per_s": at_once.rate, "at_once_cpu": at_once.cpu})
    return cost


async def _ours(
    bench: Bench, row: Row, system: System, *, at_once: bool = False
) -> tuple[Tally, Cost, Mapping[str, float]]:
    """What a load of Sluice came to: the answers, what they cost, and the CPU seconds of each of its parts."""
    used = meter(system)
    tally = await _load(bench, row, system, gateway(system), at_once=at_once)
    cpu, thousands = used.read(), max(tally.ended, 1) / 1_000
    return tally, Cost(tally.rate, cpu["gateway"] / thousands, cpu["worker"] / thousands), cpu


async def _rival_run(bench: Bench, row: Row, system: System, queue: str, ours: Cost) -> None:
    async with team(bench, row, system, queue) as theirs:
        if theirs is None:
            return
        used = Meter({"front": [theirs.front.pid], "worker": [theirs.worker]})
        tally = await _load(bench, row, system, theirs.front)
        cpu, thousands = used.read(), max(tally.ended, 1) / 1_000
    cost = Cost(tally.rate, cpu["front"] / thousands, cpu["worker"] / thousands)
    row.add(compared(queue, ours, cost))
    row.add({f"{queue}_p50_ms": tally.latencies.percentile(50) / 1e3})
