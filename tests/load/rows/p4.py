"""P4: many clients that wait, each for a job of its own, while nothing and then everything happens.

The worker is stopped, the jobs are accepted, the waiters come; what they cost is read while all are held. Then the
worker starts. The jobs sleep for so long that all are done in about 15 s, one after another, unless there are more than
the machine can end in that time. Each answer is held against the moment that Firestore took its job's finish. A wait
ends after 60 s at most, so with very many waiters some ask again.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from deploy.local.steps import together
from tests.load.bench import NO_OP, SLEEP, SLUICE, gateway, meter, tokens
from tests.load.client import stalls, until_held
from tests.load.firestore import finished_at, lags
from tests.load.generating import Generator, generator
from tests.load.generator.http1 import post
from tests.load.generator.plans import Closed, Exchange, Jobs, Tally, Waiters
from tests.load.proc import resident_bytes
from tests.load.results import Quantity, Row, at_least, at_most
from tests.load.rows.p2 import CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deploy.local.system import System
    from tests.load.bench import Bench

WAIT_SECONDS: Final = 60
"""The longest that the API holds a request."""
_WATCHED_SECONDS: Final = 15.0  # longer than the gateways' 12 s between two looks at a job that nothing is heard of
_A_CLIENT: Final = 12_500  # waiters of one client process, for its descriptors and its source address' ports
_COMING_PER_S: Final = 1_000
_WARM_SECONDS: Final = 2.0
_SLOWEST_JOBS_PER_S: Final = 250
_AT_ONCE: Final = 200  # jobs that the worker runs side by side
_DONE_SECONDS: Final = 15.0
_REPORTING_SECONDS: Final = 30.0  # for a client that has given up to say so
_NAPS: Final = 32  # of different lengths; as many as divide the keys


_COSTS: Final = (
    Quantity("waiting_cores", "CPU of the gateways while all wait", "cores", at_most(0.05)),
    Quantity("backends_cores", "CPU of emulators and Redis while all wait", "cores"),
)


def quantities(waiters: int) -> tuple[Quantity, ...]:
    """What every scene has to say."""
    return (
        Quantity("answered", "waiters answered", "", at_least(waiters)),
        Quantity("kib_each", "memory of the gateways, a waiter", "KiB", at_most(10)),
        Quantity("p50_ms", "from a job's finish to its waiter's answer, p50", "ms", at_most(13)),
        Quantity("p99_ms", "the same, p99", "ms"),
        Quantity("most_ms", "the same, the last", "ms"),
        Quantity("finished_per_s", "jobs finished meanwhile", "/s"),
        Quantity("stalls", "times that a gateway's loop ran 100 ms late", "", at_most(0)),
        Quantity("asked_again", "waits that ran out and were asked again", ""),
    )


async def measure(bench: Bench) -> list[Row]:
    waiters, gateways = bench.arguments.waiters, bench.arguments.gateways
    row = Row("P4", "Waiters", (*quantities(waiters), *_COSTS))
    row.note(f"{waiters:,} waiters over {gateways} gateway processes; no cores are set apart")
    await play(bench, row, Scene)
    return [row]


async def play(bench: Bench, row: Row, scene: type[Scene]) -> None:
    """Every run of a row, each on a system of its own."""
    gateways, environ = bench.arguments.gateways, {"SLUICE_CONCURRENCY": str(_AT_ONCE)}
    for number in range(bench.arguments.runs):
        # A new system each time: memory that an earlier crowd left behind would be filled without being counted.
        async with bench.system(f"{row.key.lower()}-{number + 1}", gateways=gateways, environ=environ) as system:
            await scene(bench, row, system, number).play()


@dataclass(frozen=True, slots=True)
class Scene:
    """One run. Others have something else happen while all wait: they override `watch`, and what they need for it."""

    bench: Bench
    row: Row
    system: System
    number: int

    async def play(self) -> None:
        gateways = [process.pid for process in self.system.services["gateway"]]
        await self.warm_up()
        await together(worker.stop() for worker in self.system.services["worker"])
        outputs = await self._submit()
        before = resident_bytes(gateways)
        async with AsyncExitStack() as stack:
            stalled = await stalls(self.system)
            clients = await self._gather(stack, outputs)
            await until_held(self.system, len(outputs))
            self.row.add({"kib_each": (resident_bytes(gateways) - before) / len(outputs) / 1_024})
            await self.watch()
            await together(worker.start() for worker in self.system.services["worker"])
            within = _longest(len(outputs))
            tallies = await asyncio.gather(*(client.result(within + _REPORTING_SECONDS) for client in clients))
            self.row.add({"stalls": await stalls(self.system) - stalled})
        await self._judge(tallies)

    async def warm_up(self) -> None:
        """Every path taken and every pool filled, so that what the waiters add is theirs."""
        address = gateway(self.system).address
        plan = Jobs(address.host, address.port, tokens(self.system), NO_OP, CONNECTIONS, 0, _WARM_SECONDS)
        self.row.judge(await self.bench.load(plan, _WARM_SECONDS, apart=False), of=SLUICE)

    async def _submit(self) -> dict[str, str]:
        """Jobs for all waiters, with what each must come back with."""
        address, count = gateway(self.system).address, self.bench.arguments.waiters
        seconds = 10 + count / _SLOWEST_JOBS_PER_S
        naps = _naps(count)
        exchanges = [
            Exchange(_order(naps[number % len(naps)], key).decode()) for number, key in enumerate(tokens(self.system))
        ]
        plan = Closed(address.host, address.port, exchanges, CONNECTIONS, 0, seconds, check="accepted", count=count)
        tally = await self.bench.load(plan, seconds, apart=False)
        self.row.judge(tally, of=SLUICE)
        return {id: f'{{"slept": {naps[index % len(naps)]}}}' for id, index in tally.ids.items()}

    async def _gather(self, stack: AsyncExitStack, outputs: Mapping[str, str]) -> list[Generator]:
        """Client processes, each with its share of the waiters, all requests sent."""
        cores = self.bench.cores.measured | self.bench.cores.others
        items = list(outputs.items())
        shares = [dict(items[start : start + _A_CLIENT]) for start in range(0, len(items), _A_CLIENT)]
        clients = [await stack.enter_async_context(generator(self.bench.guard, cores)) for _ in shares]
        for place, (client, share) in enumerate(zip(clients, shares, strict=True), start=1):
            await client.start(self._plan(share, f"127.0.{self.number + 1}.{place}"))
        await asyncio.gather(*(client.expect("waiting", 120) for client in clients))
        return clients

    def _plan(self, outputs: dict[str, str], source: str) -> Waiters:
        address, keys = gateway(self.system).address, tokens(self.system)
        seconds = _longest(self.bench.arguments.waiters)
        return Waiters(
            address.host, address.port, source, keys, outputs, self.pace(len(outputs)), WAIT_SECONDS, seconds
        )

    def pace(self, _share: int) -> float:
        """How many waiters of a client come a second."""
        return _COMING_PER_S

    async def watch(self) -> None:
        """What happens while all wait."""
        used = meter(self.system)
        await asyncio.sleep(_WATCHED_SECONDS)  # it is the passing of time that is measured
        cpu = used.read()
        backends = sum(cpu.get(name, 0.0) for name in ("pubsub", "firestore", "redis"))
        self.row.add(
            {"waiting_cores": cpu["gateway"] / _WATCHED_SECONDS, "backends_cores": backends / _WATCHED_SECONDS}
        )

    async def _judge(self, tallies: Sequence[Tally]) -> None:
        for tally in tallies:
            self.row.judge(tally, of=SLUICE)
        self.row.add({"answered": sum(tally.answered for tally in tallies)})
        self.row.add({"asked_again": sum(tally.asked_again for tally in tallies)})
        seen = {id: at for tally in tallies for id, at in tally.moments.items()}
        if not seen:
            return
        finished = await finished_at(self.system.backends.firestore.address, self.system.options.project, list(seen))
        waited = lags(seen, finished)
        self.row.add({"p50_ms": waited.percentile(50) / 1e3, "p99_ms": waited.percentile(99) / 1e3})
        self.row.add({"most_ms": waited.most / 1e3})
        span = (max(finished.values()) - min(finished.values())) / 1e6
        self.row.add({"finished_per_s": len(finished) / max(span, 1e-3)})


def _longest(waiters: int) -> float:
    return _WATCHED_SECONDS + 90 + waiters / _SLOWEST_JOBS_PER_S


def _naps(waiters: int) -> list[float]:
    """Seconds to sleep, spread by half around their mean, so that jobs begun together do not end together."""
    mean = _AT_ONCE * _DONE_SECONDS / waiters
    return [round(mean * (0.5 + place / _NAPS), 4) for place in range(_NAPS)]


def _order(nap: float, key: str) -> bytes:
    return post("/v1/jobs", orjson.dumps({"handler": SLEEP, "input": {"seconds": nap}}), key)
