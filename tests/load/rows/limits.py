"""The least that aiohttp can be on this machine now: what a figure "a core" is held against. Used by `p1` as well."""

from __future__ import annotations

import os
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

from tests.load.bench import WARM_SECONDS
from tests.load.generator.plans import Closed, Exchange
from tests.load.limits import KINDS
from tests.load.results import Quantity, Row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.load.bench import Bench, Server
    from tests.load.generator.plans import Tally

CONNECTIONS: Final = 64
_BUSY: Final = 0.95

QUANTITIES: Final = (
    Quantity("server_rps", "bare aiohttp web.Server, one core", "req/s"),
    Quantity("application_rps", "bare aiohttp Application, one route, one core", "req/s"),
)
_REPLY: Final = '{"id":"job_' + "0" * 40 + '","status":"succeeded","output":"' + "x" * 460 + '"}'
"""As long as the JSON of a small job."""


async def measure(bench: Bench) -> list[Row]:
    """Both limits, with a reply as long as a small job."""
    row = Row("limits", "The limits of aiohttp", QUANTITIES)
    exchanges = [Exchange(f"GET /v1/jobs/{n} HTTP/1.1\r\nHost: sluice.test\r\n\r\n", _REPLY) for n in range(4)]
    async with limits(bench, _REPLY) as servers:
        for _ in range(bench.arguments.runs):
            for kind, server in servers.items():
                row.add({f"{kind}_rps": (await saturate(bench, row, server, exchanges)).rate})
    return [row]


@asynccontextmanager
async def limits(bench: Bench, reply: str) -> AsyncIterator[dict[str, Server]]:
    """Each kind of bare server, running, by its name."""
    async with AsyncExitStack() as stack:
        yield {
            kind: await stack.enter_async_context(bench.server(kind, _command(kind, reply), os.environ, "/v1/jobs/1"))
            for kind in KINDS
        }


def _command(kind: str, reply: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.load.limits", kind, "{port}", reply)


async def saturate(bench: Bench, row: Row, server: Server, exchanges: Sequence[Exchange]) -> Tally:
    """As many requests as the server answers, from 64 connections. What is wrong is noted in the row."""
    seconds = bench.arguments.seconds
    address = server.address
    plan = Closed(address.host, address.port, list(exchanges), CONNECTIONS, WARM_SECONDS, seconds)
    tally = await bench.load(plan, WARM_SECONDS + seconds)
    row.judge(tally, of=server.name)
    if tally.cpu_seconds > _BUSY * tally.elapsed:
        row.note("the generator used a whole core: a figure of this row is its limit, not the server's")
    return tally
