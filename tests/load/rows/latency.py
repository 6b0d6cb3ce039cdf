"""P5 and P6, from the same unloaded jobs: how soon a waiting client has the result, and how much of that is ours.

P6 is the whole way of a no-op job, POST with `Prefer: wait`, as its client sees it. Its own share is that without the
broker's: the difference between the medians of jobs and of bare messages, which pass through the same emulator in the
same seconds and are pulled as the worker pulls. P5 is the end of it: from the moment that Firestore took the finish.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.load.bench import NO_OP, SLUICE, gateway, tokens
from tests.load.firestore import finished_at, lags
from tests.load.generator.plans import Single
from tests.load.results import Quantity, Row, at_most

if TYPE_CHECKING:
    from deploy.local.system import System
    from tests.load.bench import Bench

_JOBS_PER_S: Final = 11  # what one job at a time comes to, with its pauses
_LENGTHS: Final = 3  # as long as three of the other rows' measurements: there are few samples a second
_PAUSE_SECONDS: Final = 0.1  # at most; longer than the emulator's beat
# What the worker's consumer does on each lane (`shared.messaging.consumer`).
_PULLS: Final = 4
_STEP_SECONDS: Final = 0.06

P5: Final = (
    Quantity("p50_ms", "finish in Firestore to the waiting client, p50", "ms", at_most(3)),
    Quantity("p99_ms", "the same, p99", "ms", at_most(15)),
)
P6: Final = (
    Quantity("whole_p50_ms", "submit to result of a no-op, unloaded, p50", "ms", at_most(45)),
    Quantity("whole_p99_ms", "the same, p99", "ms"),
    Quantity("broker_p50_ms", "a bare message through the same broker, p50", "ms"),
    Quantity("own_p50_ms", "our own share, p50", "ms", at_most(6)),
    Quantity("own_mean_ms", "our own share, mean", "ms"),
)


async def measure(bench: Bench) -> list[Row]:
    told, whole = Row("P5", "Finish to client", P5), Row("P6", "Submit to result, unloaded", P6)
    async with bench.system("p6") as system:
        for number in range(bench.arguments.runs):
            await _run(bench, told, whole, system, number)
    return [told, whole]


async def _run(bench: Bench, told: Row, whole: Row, system: System, number: int) -> None:
    count, address = round(bench.arguments.seconds * _LENGTHS * _JOBS_PER_S), gateway(system).address
    plan = Single(
        host=address.host,
        port=address.port,
        token=tokens(system)[0],
        handler=NO_OP,
        count=count,
        pause_seconds=_PAUSE_SECONDS,
        pubsub=system.backends.pubsub.address,
        pulls=_PULLS,
        step_seconds=_STEP_SECONDS,
        seed=number,
    )
    tally = await bench.load(plan, count / _JOBS_PER_S, apart=False)
    whole.judge(tally, of=SLUICE)
    jobs, bare = tally.latencies, tally.others
    whole.add({"whole_p50_ms": jobs.percentile(50) / 1e3, "whole_p99_ms": jobs.percentile(99) / 1e3})
    whole.add({"broker_p50_ms": bare.percentile(50) / 1e3})
    whole.add({"own_p50_ms": (jobs.percentile(50) - bare.percentile(50)) / 1e3})
    whole.add({"own_mean_ms": (jobs.mean - bare.mean) / 1e3})
    finished = await finished_at(system.backends.firestore.address, system.options.project, list(tally.moments))
    waited = lags(tally.moments, finished)
    told.add({"p50_ms": waited.percentile(50) / 1e3, "p99_ms": waited.percentile(99) / 1e3})
