"""One job at a time, and beside it one bare message at a time through the same broker: what is our own share?

Neither is ever in a hurry. The emulator hands messages out in beats of about 50 ms, so both start after a random pause;
a loop without one would measure the beat.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Final

import orjson

from tests.load.generator.broker import Bare
from tests.load.generator.checks import REFUSALS
from tests.load.generator.http1 import Address, ConnectionLost, Exchanges, ProtocolFault, connect, post
from tests.load.generator.jobs import WAIT_SECONDS, WrongAnswerError, read
from tests.load.generator.plans import Tally

if TYPE_CHECKING:
    from tests.load.generator.plans import Single

_WARM: Final = 5  # jobs, and messages, that are not counted


async def run_single(plan: Single) -> Tally:
    """`latencies`: of jobs, from the request's first byte to the answer's last. `others`: of bare messages."""
    rng, tally = random.Random(plan.seed), Tally()
    async with Bare(plan.pubsub, pulls=plan.pulls, step_seconds=plan.step_seconds) as broker:
        client = await connect(Exchanges, Address(plan.host, plan.port))
        async with asyncio.TaskGroup() as group:
            group.create_task(_jobs(plan, client, tally, rng))
            group.create_task(_messages(plan, broker, tally, random.Random(rng.random())))
        client.close()
    return tally


async def _jobs(plan: Single, client: Exchanges, tally: Tally, rng: random.Random) -> None:
    for number in range(plan.count + _WARM):
        await asyncio.sleep(rng.random() * plan.pause_seconds)
        try:
            await _job(plan, client, tally, number)
        except WrongAnswerError as fault:
            tally.fault(str(fault))
        except (ConnectionLost, ProtocolFault) as fault:
            tally.fault(f"the connection was lost: {fault!r}")
            return


async def _job(plan: Single, client: Exchanges, tally: Tally, number: int) -> None:
    order = orjson.dumps({"handler": plan.handler, "input": {"n": number}})
    message = post("/v1/jobs", order, plan.token, Prefer=f"wait={WAIT_SECONDS}")
    began = time.perf_counter_ns()
    answer = await client.exchange(message)
    seen, took = time.time_ns(), time.perf_counter_ns() - began
    if answer[0] in REFUSALS:
        tally.refused += 1
        return
    job = read(answer, 200)
    if (job["status"], job["output"]) != ("succeeded", {"n": number}):
        raise WrongAnswerError(f"job {job['id']} ended as {job['status']} with {job['output']}")
    if number >= _WARM:
        tally.answered += 1
        tally.latencies.record(took // 1_000)
        tally.moments[job["id"]] = seen // 1_000


async def _messages(plan: Single, broker: Bare, tally: Tally, rng: random.Random) -> None:
    for number in range(plan.count + _WARM):
        await asyncio.sleep(rng.random() * plan.pause_seconds)
        took = await broker.pass_one(number)
        if number >= _WARM:
            tally.others.record(round(took * 1e6))
