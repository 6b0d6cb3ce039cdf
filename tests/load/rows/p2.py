"""P2: jobs accepted, each answered 202 after the broker's acknowledgement. No worker runs meanwhile."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import orjson

from deploy.local.steps import together
from tests.load.bench import NO_OP, SLUICE, WARM_SECONDS, gateway, meter, tokens
from tests.load.client import stalls, statuses
from tests.load.generator.http1 import post
from tests.load.generator.plans import Closed, Exchange
from tests.load.results import Quantity, Row, at_least, at_most
from tests.load.rivals import QUEUES, queue_front

if TYPE_CHECKING:
    from deploy.local.system import System
    from tests.load.bench import Bench, Server
    from tests.load.generator.plans import Tally


def _against(queue: str, name: str) -> tuple[Quantity, ...]:
    return (
        Quantity(f"{queue}_per_s", f"FastAPI + {name} on Redis, one core, neither on disk nor replicated", "/s"),
        Quantity(f"of_{queue}", f"gateway / FastAPI + {name}", "", at_least(3)),
    )


QUANTITIES: Final = (
    Quantity("accepted_per_s", "jobs accepted, 64 connections, one gateway on one core", "/s"),
    Quantity("p50_ms", "time to the 202 under that load, p50", "ms"),
    Quantity("p99_ms", "the same, p99", "ms"),
    Quantity("stalls", "times that a gateway's loop ran 100 ms late", "", at_most(0)),
    Quantity("gateway_cpu", "gateway CPU a 1,000 accepted", "s"),
    Quantity("broker_cpu", "the broker's emulator, CPU a 1,000 accepted", "s"),
    *(quantity for queue, library in QUEUES.items() for quantity in _against(queue, library.name)),
)
CONNECTIONS: Final = 64
_SAMPLED: Final = 20


async def measure(bench: Bench) -> list[Row]:
    row = Row("P2", "Jobs accepted", QUANTITIES)
    async with bench.system("p2") as system:
        await together(worker.stop() for worker in system.services["worker"])
        bench.pin_gateway(system)
        async with AsyncExitStack() as stack:
            rivals: dict[str, Server] = {}
            for queue in QUEUES:
                rivals |= await stack.enter_async_context(queue_front(bench, row, system, queue))
            for _ in range(bench.arguments.runs):
                rate = await _run(bench, row, system)
                for queue, server in rivals.items():
                    await _rival_run(bench, row, system, queue, server, rate)
    return [row]


def orders(keys: list[str]) -> list[Exchange]:
    """A request that submits a no-op job, for each key."""
    body = orjson.dumps({"handler": NO_OP, "input": {"text": "x" * 64}})
    return [Exchange(post("/v1/jobs", body, key).decode()) for key in keys]


async def _accept(bench: Bench, system: System, server: Server) -> Tally:
    seconds, address = bench.arguments.seconds, server.address
    plan = Closed(
        address.host, address.port, orders(tokens(system)), CONNECTIONS, WARM_SECONDS, seconds, check="accepted"
    )
    return await bench.load(plan, WARM_SECONDS + seconds)


async def _rival_run(bench: Bench, row: Row, system: System, queue: str, server: Server, ours: float) -> None:
    tally = await _accept(bench, system, server)
    row.judge(tally, of=server.name)
    if not tally.rate:
        raise ValueError(f"{queue} accepted nothing that can be compared")
    row.add({f"{queue}_per_s": tally.rate, f"of_{queue}": ours / tally.rate})


async def _run(bench: Bench, row: Row, system: System) -> float:
    used, stalled = meter(system), await stalls(system)
    tally = await _accept(bench, system, gateway(system))
    cpu, thousands = used.read(), max(len(tally.ids), 1) / 1_000
    row.judge(tally, of=SLUICE)
    row.add({"accepted_per_s": tally.rate, "stalls": await stalls(system) - stalled})
    row.add({"p50_ms": tally.latencies.percentile(50) / 1e3, "p99_ms": tally.latencies.percentile(99) / 1e3})
    row.add({"gateway_cpu": cpu["gateway"] / thousands, "broker_cpu": cpu.get("pubsub", 0.0) / thousands})
    sample = list(tally.ids)[:: max(len(tally.ids) // _SAMPLED, 1)]
    row.wrong += [
        f"{SLUICE}: an accepted job is said to be {each}" for each in await statuses(system, sample) if each != "queued"
    ]
    return tally.rate
