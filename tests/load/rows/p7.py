"""P7: a batch of 100,000 items accepted, as lines over one connection: items a second, and what the gateway holds.

No worker runs meanwhile. Memory is the gateway's resident one: before the batch, and the most while it was uploaded. A
batch before the first run fills what is filled once (connections, buffers, the allocator's pools).
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import aiohttp
import orjson

from deploy.local.steps import together
from tests.load.bench import NO_OP, gateway, meter, tokens
from tests.load.proc import most_resident, resident_bytes
from tests.load.results import Quantity, Row, at_least, at_most

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from deploy.local.system import System
    from tests.load.bench import Bench

ITEMS: Final = 100_000
WARM_ITEMS: Final = 20_000
PIECE: Final = 500
MEGABYTE: Final = 1_000_000

QUANTITIES: Final = (
    Quantity("items_per_s", "items of a batch of 100,000 accepted, one gateway on one core", "/s", at_least(10_000)),
    Quantity("gateway_cpu", "gateway CPU a 1,000 items", "s"),
    Quantity("broker_cpu", "the broker's emulator, CPU a 1,000 items", "s"),
    Quantity("before_mb", "the gateway's memory before", "MB"),
    Quantity("growth_mb", "its growth while the batch was uploaded, at most", "MB", at_most(20)),
)


async def measure(bench: Bench) -> list[Row]:
    row = Row("P7", "A batch of 100,000 items accepted", QUANTITIES)
    async with bench.system("p7") as system:
        await together(worker.stop() for worker in system.services["worker"])
        bench.pin_gateway(system)
        timeout = aiohttp.ClientTimeout(total=180)
        with _apart(bench):
            async with aiohttp.ClientSession(timeout=timeout) as session:
                await _upload(session, system, row, WARM_ITEMS)
                for _ in range(bench.arguments.runs):
                    await _run(session, system, row)
    return [row]


@contextmanager
def _apart(bench: Bench) -> Iterator[None]:
    """This process sends the batches, away from the core that is measured."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, bench.cores.others)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


async def _run(session: aiohttp.ClientSession, system: System, row: Row) -> None:
    pid = gateway(system).pid
    before, used, began = resident_bytes([pid]), meter(system), time.perf_counter()
    async with most_resident(pid) as most:
        await _upload(session, system, row, ITEMS)
    took, cpu, thousands = time.perf_counter() - began, used.read(), ITEMS / 1_000
    row.add({"items_per_s": ITEMS / took, "gateway_cpu": cpu["gateway"] / thousands})
    row.add({"broker_cpu": cpu.get("pubsub", 0.0) / thousands})
    row.add({"before_mb": before / MEGABYTE, "growth_mb": (max(most) - before) / MEGABYTE})


async def _upload(session: aiohttp.ClientSession, system: System, row: Row, items: int) -> None:
    headers = {"Authorization": f"Bearer {tokens(system)[0]}", "Content-Type": "application/x-ndjson"}
    address = f"{system.base_url}/v1/batches?handler={NO_OP}"
    async with session.post(address, data=_lines(items), headers=headers) as response:
        body = await response.read()
        if response.status != 202:
            row.wrong.append(f"a batch was answered {response.status}: {body[:200]!r}")
        elif orjson.loads(body)["counts"]["total"] != items:
            row.wrong.append("a batch was accepted with another number of items")


async def _lines(items: int) -> AsyncIterator[bytes]:
    line = orjson.dumps({"text": "x" * 64}) + b"\n"
    for _ in range(0, items, PIECE):
        yield line * PIECE
