"""One run of the harness, from the command line to the exit status.

0: everything was measured and every answer was right, whatever the targets say. 1: an answer was wrong, or a row could
not be measured. Called by `__main__`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp

from deploy.local.errors import LocalError
from deploy.local.guard import Guard
from deploy.local.system import ROOT
from tests.load import machine
from tests.load.arguments import Arguments, parse
from tests.load.bench import Bench
from tests.load.client import UnpreparedError
from tests.load.draw import drawing
from tests.load.firestore import DocumentMissingError
from tests.load.generating import GeneratorFailedError
from tests.load.placement import Cores
from tests.load.proc import busy_seconds, cpu_seconds
from tests.load.report import keep, table
from tests.load.results import Row
from tests.load.rows import b1, h1, latency, limits, p1, p2, p3, p4, p7, p9, webhooks

Measure = Callable[[Bench], Awaitable[list[Row]]]

ROWS: Final[dict[str, Measure]] = {
    "limits": limits.measure,
    "p1": p1.measure,
    "p2": p2.measure,
    "p3": p3.measure,
    "p4": p4.measure,
    "p5": latency.measure,
    "p6": latency.measure,
    "p7": p7.measure,
    "p9": p9.measure,
    "b1": b1.measure,
    "h1": h1.measure,
    "w1": webhooks.measure,
}
_INCLUDED: Final = {"limits": "p1"}
"""Rows that another one measures as well."""
_FAULTS: Final = (
    LocalError,
    GeneratorFailedError,
    UnpreparedError,
    DocumentMissingError,
    aiohttp.ClientError,
    OSError,
    ValueError,
)
_DISTURBED_CORES: Final = 0.1
FOLDER: Final = ROOT / "build" / "load"


def main(arguments: Sequence[str]) -> int:
    """Measure, show, keep. Returns the exit status."""
    return asyncio.run(_run(parse(arguments, tuple(ROWS))))


async def _run(arguments: Arguments) -> int:
    described, cores = machine.describe(), Cores.here()
    name = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    _say(machine.sentence(described))
    if not cores.apart:
        _say("There is one core only: the generator takes its time from what it measures.")
    rows: list[Row] = []
    speeds: list[float] = []
    async with Guard() as guard:
        bench = Bench(arguments, cores, guard, FOLDER / "logs")
        for key, measure in _chosen(arguments.rows).items():
            speeds.append(machine.yardstick())
            rows += await _measured(key, measure, bench)
    context: dict[str, Any] = {"at": name, "machine": described, "yardstick_ms": speeds, "runs": arguments.runs}
    path = keep(FOLDER, name, rows, {**context, "seconds": arguments.seconds})
    path.with_suffix(".svg").write_text(drawing(rows))
    print(table(rows), f"\nKept in {path.relative_to(ROOT)}, drawn in {path.with_suffix('.svg').name}", sep="\n")  # noqa: T201
    return 1 if any(row.wrong for row in rows) else 0


def _chosen(names: Sequence[str]) -> dict[str, Measure]:
    """Each thing to measure once, under the first name that asks for it."""
    chosen: dict[str, Measure] = {}
    for name in names:
        if _INCLUDED.get(name) not in names and ROWS[name] not in chosen.values():
            chosen[name] = ROWS[name]
    return chosen


async def _measured(key: str, measure: Measure, bench: Bench) -> list[Row]:
    _say(f"{key} …")
    began, foreign = time.monotonic(), _foreign_seconds()
    try:
        rows = await measure(bench)
    except _FAULTS as fault:
        _say(f"{key} could not be measured: {fault}")
        return [Row(key.upper(), "", (), wrong=[f"could not be measured: {type(fault).__name__}"])]
    took = time.monotonic() - began
    disturbed = (_foreign_seconds() - foreign) / took
    if disturbed > _DISTURBED_CORES:
        rows[0].note(f"other programs used {disturbed:.1f} cores meanwhile: compare ratios, not figures")
    _say(f"{key} took {took:.0f} s")
    return rows


def _foreign_seconds() -> float:
    """CPU seconds that this machine has spent on what is not ours."""
    return busy_seconds() - cpu_seconds([os.getpid()])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
