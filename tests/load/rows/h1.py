"""H1: Redis is lost under a crowd that waits, and comes back empty: what others' requests come to meanwhile (R24).

As P4, but while all wait other clients submit jobs and read finished ones, at a rate that leaves the machine room.
Redis is killed, stays away, and is started anew with nothing in it, so that every gateway has its waiters to register
again. Goodput is the share of what is asked that is answered rightly within a second: of submits or of reads, whichever
is lower. In the end the worker starts, and every waiter must have its answer.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.load.bench import SLUICE, gateway, tokens
from tests.load.client import finished_jobs
from tests.load.generator.plans import Exchange, Open
from tests.load.results import Quantity, Row, at_least, at_most
from tests.load.rows.p2 import orders
from tests.load.rows.p4 import WAIT_SECONDS, Scene, play, quantities

if TYPE_CHECKING:
    from tests.load.bench import Bench
    from tests.load.generator.plans import Check

SUBMITS_PER_S: Final = 300
READS_PER_S: Final = 1_500
CONNECTIONS: Final = 256
"""Of each kind: more than are under way at a time, unless answers stay away."""
PROMPT_SECONDS: Final = 1.0
BEFORE_SECONDS: Final = 10.0
LOST_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 5.0
WATCHED_SECONDS: Final = 60.0
GOOD: Final = 90.0
"""Per cent."""

_QUANTITIES: Final = (
    Quantity("before", "goodput before", "%"),
    Quantity("lost", f"goodput in the {LOST_SECONDS:g} s without Redis", "%"),
    Quantity("back_s", f"from Redis's return until {GOOD:g} % of goodput", "s", at_most(WATCHED_SECONDS)),
    Quantity("after", f"goodput in the last half of the {WATCHED_SECONDS:g} s after", "%", at_least(GOOD)),
)


async def measure(bench: Bench) -> list[Row]:
    waiters, gateways = bench.arguments.waiters, bench.arguments.gateways
    row = Row("H1", "Redis lost under waiters", (*_QUANTITIES, *quantities(waiters)))
    row.note(f"{waiters:,} waiters over {gateways} gateway processes")
    row.note(f"{SUBMITS_PER_S} submits and {READS_PER_S:,} reads a second beside them")
    await play(bench, row, _Outage)
    return [row]


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
        before = await self._goodput(BEFORE_SECONDS)
        await redis.kill()
        lost = await self._goodput(LOST_SECONDS)
        await redis.start()
        looks = await self._looks()
        back = next((since for since, share in looks if share >= GOOD), 2 * WATCHED_SECONDS)
        late = [share for _, share in looks[len(looks) // 2 :]]
        self.row.add({"before": before, "lost": lost, "back_s": back, "after": sum(late) / len(late)})

    async def _looks(self) -> list[tuple[float, float]]:
        """Seconds from now on, and the goodput of the few before each."""
        began, looks = time.monotonic(), list[tuple[float, float]]()
        while time.monotonic() - began < WATCHED_SECONDS:
            share = await self._goodput(LOOK_SECONDS)
            looks.append((time.monotonic() - began, share))
        return looks

    async def _goodput(self, seconds: float) -> float:
        """Per cent."""
        return min(
            await asyncio.gather(
                self._share(orders(tokens(self.system)), "accepted", SUBMITS_PER_S, seconds),
                self._share(self.hits, "exact", READS_PER_S, seconds),
            )
        )

    async def _share(self, exchanges: list[Exchange], check: Check, rate: float, seconds: float) -> float:
        address = gateway(self.system).address
        plan = Open(address.host, address.port, exchanges, CONNECTIONS, rate, seconds, check, spin=False)
        tally = await self.bench.load(plan, seconds, apart=False)
        self.row.judge(tally, of=SLUICE)
        return 100 * tally.latencies.within(round(PROMPT_SECONDS * 1e6)) / (rate * seconds)
