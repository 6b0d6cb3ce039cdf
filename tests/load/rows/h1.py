"""H1: Redis is lost under a crowd that waits, and comes back empty: what others' requests come to meanwhile (R24).

As P4, but while all wait other clients submit jobs and read finished ones, each as fast as it is answered. Redis is
killed, stays away, and is started anew with nothing in it, so that every gateway has its waiters to register again.
Goodput is right answers a second as a share of what they were before: of submits or of reads, whichever is lower. In
the end the worker starts, and every waiter must have its answer.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.load.bench import SLUICE, gateway, tokens
from tests.load.client import finished_jobs
from tests.load.generator.plans import Closed, Exchange
from tests.load.results import Quantity, Row, at_least, at_most
from tests.load.rows.p2 import orders
from tests.load.rows.p4 import WAIT_SECONDS, Scene, play, quantities

if TYPE_CHECKING:
    from tests.load.bench import Bench
    from tests.load.generator.plans import Check

CONNECTIONS: Final = 8
"""Of each kind: a load that four gateways on two cores feel and still carry."""
BEFORE_SECONDS: Final = 10.0
LOST_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 5.0
WATCHED_SECONDS: Final = 60.0
GOOD: Final = 90.0
"""Per cent."""

_QUANTITIES: Final = (
    Quantity("submits_per_s", "jobs accepted before", "/s"),
    Quantity("reads_per_s", "finished jobs read before", "/s"),
    Quantity("lost", f"goodput in the {LOST_SECONDS:g} s without Redis", "%"),
    Quantity("back_s", f"from Redis's return until {GOOD:g} % of goodput", "s", at_most(WATCHED_SECONDS)),
    Quantity("after", f"goodput in the last half of the {WATCHED_SECONDS:g} s after", "%", at_least(GOOD)),
)


async def measure(bench: Bench) -> list[Row]:
    waiters, gateways = bench.arguments.waiters, bench.arguments.gateways
    row = Row("H1", "Redis lost under waiters", (*_QUANTITIES, *quantities(waiters)))
    row.note(f"{waiters:,} waiters over {gateways} gateway processes; {CONNECTIONS} clients submit, as many read")
    await play(bench, row, _Outage)
    return [row]


@dataclass(frozen=True, slots=True)
class _Rates:
    """Right answers a second."""

    submits: float
    reads: float

    def share(self, before: _Rates) -> float:
        """Goodput, per cent."""
        return 100 * min(self.submits / before.submits, self.reads / before.reads)


@dataclass(frozen=True, slots=True)
class _Outage(Scene):
    hits: list[Exchange] = field(default_factory=list)

    async def warm_up(self) -> None:
        """As all do, and some jobs to be read."""
        await Scene.warm_up(self)
        self.hits.extend(await finished_jobs(self.system))

    def pace(self, share: int) -> float:
        """As many as there are waits that run out: they are asked again all the while, also before Redis is lost."""
        return share / WAIT_SECONDS

    async def watch(self) -> None:
        """Lose Redis, and look how long it is felt."""
        redis = self.system.backends.redis.process
        if redis is None:
            raise ValueError("this row kills Redis, which is run elsewhere")
        before = await self._rates(BEFORE_SECONDS)
        if not before.submits or not before.reads:
            raise ValueError("nothing was answered that could be compared")
        await redis.kill()
        lost = await self._rates(LOST_SECONDS)
        await redis.start()
        looks = await self._looks(before)
        back = next((since for since, share in looks if share >= GOOD), 2 * WATCHED_SECONDS)
        late = [share for _, share in looks[len(looks) // 2 :]]
        self.row.add({"submits_per_s": before.submits, "reads_per_s": before.reads, "lost": lost.share(before)})
        self.row.add({"back_s": back, "after": sum(late) / len(late)})

    async def _looks(self, before: _Rates) -> list[tuple[float, float]]:
        """Seconds from now on, and the goodput of the few before each."""
        began, looks = time.monotonic(), list[tuple[float, float]]()
        while time.monotonic() - began < WATCHED_SECONDS:
            share = (await self._rates(LOOK_SECONDS)).share(before)
            looks.append((time.monotonic() - began, share))
        return looks

    async def _rates(self, seconds: float) -> _Rates:
        submits, reads = await asyncio.gather(
            self._rate(orders(tokens(self.system)), "accepted", seconds), self._rate(self.hits, "exact", seconds)
        )
        return _Rates(submits, reads)

    async def _rate(self, exchanges: list[Exchange], check: Check, seconds: float) -> float:
        address = gateway(self.system).address
        plan = Closed(address.host, address.port, exchanges, CONNECTIONS, 0, seconds, check=check)
        tally = await self.bench.load(plan, seconds, apart=False)
        self.row.judge(tally, of=SLUICE)
        return tally.rate
