"""B1: two batches of 100,000 items side by side, from upload to the last outcome, and single jobs in their midst.

Each batch must count exactly its items, and give back each item's own input in its place. A client posts a single job
every half second from the first line of the uploads until both batches are over, and waits for its result.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import orjson

from tests.load.bench import NO_OP, gateway, meter, tokens
from tests.load.client import bearer
from tests.load.histogram import Histogram
from tests.load.proc import most_resident, resident_bytes
from tests.load.results import Quantity, Row, at_most

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from deploy.local.system import System
    from tests.load.bench import Bench

BATCHES: Final = 2
ITEMS: Final = 100_000
PIECE: Final = 500
ASK_EVERY_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 900.0
MEGABYTE: Final = 1_000_000

QUANTITIES: Final = (
    Quantity("items_per_s", f"items of {BATCHES} batches of {ITEMS:,}, uploaded and run to the end", "/s"),
    Quantity("upload_s", "both uploads, beside the worker", "s"),
    Quantity("p50_ms", "a single job in their midst, submit to result, p50", "ms"),
    Quantity("p99_ms", "the same, p99", "ms"),
    Quantity("most_ms", "the same, the slowest", "ms", at_most(1_000)),
    Quantity("cpu", "gateway + worker + aggregator, CPU a 1,000 items", "s"),
    Quantity("aggregator_cpu", "of it the aggregator", "s"),
    Quantity("growth_mb", "growth of the gateway's memory, at most", "MB", at_most(20)),
)


async def measure(bench: Bench) -> list[Row]:
    row = Row("B1", "Two batches of 100,000 at once", QUANTITIES)
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    async with bench.system("b1") as system, aiohttp.ClientSession(system.base_url, timeout=timeout) as session:
        await _complete(session, tokens(system)[0], row, 2_000)  # so that connections and caches are as in mid-day
        for _ in range(bench.arguments.runs):
            await _run(session, system, row)
    return [row]


async def _run(session: aiohttp.ClientSession, system: System, row: Row) -> None:
    pid, thousands, latencies = gateway(system).pid, BATCHES * ITEMS / 1_000, Histogram()
    *owners, other = tokens(system)[: BATCHES + 1]
    before, used, began = resident_bytes([pid]), meter(system), time.perf_counter()
    async with most_resident(pid) as most, _asking(session, other, row, latencies):
        batches = await asyncio.gather(*(_complete(session, owner, row, ITEMS) for owner in owners))
    took, cpu = time.perf_counter() - began, used.read()
    row.add({"items_per_s": BATCHES * ITEMS / took, "upload_s": max(uploaded for _, uploaded in batches)})
    row.add({f"p{part}_ms": latencies.percentile(part) / 1e3 for part in (50, 99)})
    row.add({"most_ms": latencies.percentile(100) / 1e3})
    row.add({"cpu": sum(cpu[name] for name in ("gateway", "worker", "aggregator")) / thousands})
    row.add({"aggregator_cpu": cpu["aggregator"] / thousands, "growth_mb": (max(most) - before) / MEGABYTE})
    for owner, (address, _) in zip(owners, batches, strict=True):
        await _check_outputs(session, owner, row, address)


async def _complete(session: aiohttp.ClientSession, token: str, row: Row, items: int) -> tuple[str, float]:
    """A batch from its first line to its end. Returns its address, and the seconds until it was accepted."""
    began = time.perf_counter()
    headers = {**bearer(token), "Content-Type": "application/x-ndjson"}
    async with session.post(f"/v1/batches?handler={NO_OP}", data=_lines(items), headers=headers) as answer:
        batch = await _read(answer, 202)
    uploaded, address = time.perf_counter() - began, f"/v1/batches/{batch['id']}"
    while batch["finished_at"] is None and time.perf_counter() - began < PATIENCE_SECONDS:
        async with session.get(address, headers={**bearer(token), "Prefer": "wait=30"}) as answer:
            batch = await _read(answer, 200)
    counts = {name: count for name, count in batch["counts"].items() if count}
    if batch["status"] != "completed" or counts != {"total": items, "succeeded": items}:
        row.wrong.append(f"a batch of {items:,} is {batch['status']} with {counts}")
    return address, uploaded


async def _check_outputs(session: aiohttp.ClientSession, token: str, row: Row, address: str) -> None:
    async with session.get(f"{address}/outputs", headers=bearer(token)) as answer:
        wrong = [number async for number, line in _numbered(answer) if not _right(number, line)]
    if wrong:
        row.wrong.append(f"{len(wrong):,} outputs are not those of their items; the first is number {wrong[0]:,}")


async def _numbered(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[int, bytes]]:
    number = 0
    async for line in answer.content:
        yield number, line
        number += 1


def _right(number: int, line: bytes) -> bool:
    output = orjson.loads(line)
    return (output["index"], output["output"]) == (number, {"n": number})


async def _read(answer: aiohttp.ClientResponse, expected: int) -> dict[str, Any]:
    """The JSON of an answer. Raises ValueError for another status."""
    body = await answer.read()
    if answer.status != expected:
        raise ValueError(f"a batch was answered {answer.status}: {body[:200]!r}")
    read: dict[str, Any] = orjson.loads(body)
    return read


async def _lines(items: int) -> AsyncIterator[bytes]:
    for first in range(0, items, PIECE):
        yield b"".join(b'{"n":%d}\n' % number for number in range(first, min(first + PIECE, items)))


@asynccontextmanager
async def _asking(session: aiohttp.ClientSession, token: str, row: Row, latencies: Histogram) -> AsyncIterator[None]:
    """A single job every half second while the block lasts, however long the one before takes."""
    headers = {**bearer(token), "Prefer": "wait=30"}

    async def ask(number: int) -> None:
        began = time.perf_counter()
        async with session.post("/v1/jobs", json={"handler": NO_OP, "input": {"n": number}}, headers=headers) as answer:
            job = await _read(answer, 200)
        latencies.record(round((time.perf_counter() - began) * 1e6))
        if job["output"] != {"n": number}:
            row.wrong.append(f"a single job gave {job['output']} instead of {number}")

    async def keep_asking() -> None:
        async with asyncio.TaskGroup() as asked:
            for number in range(round(PATIENCE_SECONDS / ASK_EVERY_SECONDS)):
                asked.create_task(ask(number))
                await asyncio.sleep(ASK_EVERY_SECONDS)

    asking = asyncio.create_task(keep_asking())
    try:
        yield
    finally:
        asking.cancel()
        for fault in await asyncio.gather(asking, return_exceptions=True):
            if isinstance(fault, Exception):
                row.wrong.append(f"a single job was not answered: {type(fault).__name__}")
