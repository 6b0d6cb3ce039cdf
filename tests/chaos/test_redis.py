"""Redis is never needed: R22, R23 and R25 of `docs/guarantees.md`."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest

from tests.chaos.faults import Cut, Fault, Flush, RedisGone, Weather
from tests.chaos.history import Act, Ok
from tests.chaos.inflict import inflict
from tests.chaos.proxy import Refusing, RepliesLost, Silent
from tests.chaos.trial import Trial
from tests.chaos.work import AFTER_RETRIES, draw

FAULTS: dict[str, Sequence[Fault]] = {
    "flushed": [Flush(), Flush(), Flush()],
    "killed": [RedisGone(1.5)],
    "paused": [Weather("cache", Silent(), 2.5)],
    "cut": [Cut("cache"), Cut("cache", half=True), Weather("cache", Refusing(), 1.0)],
    "answers-lost": [Weather("cache", RepliesLost(), 2.0)],
}
JOBS = 120


@pytest.mark.parametrize("name", FAULTS)
async def test_redis_at_its_worst_costs_no_answer(trial: Trial, rng: Random, name: str) -> None:
    """R22, R23: under load, no wrong answer, no lost job, no state that goes back, no 5xx, each job run once."""
    load = asyncio.create_task(trial.load(draw(rng, JOBS, tag=trial.tag), 10))
    for n, fault in enumerate(FAULTS[name], start=1):
        await _accepted(trial, load, n * JOBS // (len(FAULTS[name]) + 1))
        await inflict(trial.place, fault)
    await load
    verdict = await trial.verdict()
    verdict.require_sound()
    assert not [call for call in trial.history.calls if not isinstance(call.outcome, Ok)]
    assert verdict.counts.restarts.keys() <= {"retry"}


async def test_states_seen_over_all_gateways_never_go_back_while_redis_forgets(trial: Trial) -> None:
    """R23: readers who say what they have seen, on a new connection each time; the cache is emptied under them."""
    pieces = [trial.piece(str(n), end=AFTER_RETRIES, task={"seconds": 1.5, "failures": 1}) for n in range(10)]
    async with trial.clients(10, spread=True) as group:
        jobs = [accepted.job for piece in pieces if (accepted := await group[0].accepted(piece, within=30))]
        assert len(jobs) == len(pieces)
        flushing = asyncio.create_task(_flush_often(trial))
        watching = (client.over(job, wait=1) for client, job in zip(group, jobs, strict=True))
        seen = await asyncio.gather(*watching)
        flushing.cancel()
    assert all(seen)
    orders = [ok.order for _, ok in trial.history.answers()]
    assert len(set(orders)) >= 4  # queued, running, waiting, running again, over: enough to go back from
    (await trial.verdict()).require_sound()


async def test_a_lost_wake_up_is_made_up_for(trial: Trial) -> None:
    """R25: Redis stands still while the job ends, so nobody is woken; the held request is answered all the same."""
    piece = trial.piece("unheard", task={"seconds": 2.0})
    async with trial.clients(2) as (client, other):
        accepted = await client.accepted(piece, within=10)
        assert accepted is not None
        held = asyncio.create_task(client.read(accepted.job, wait=30, conditional=False))
        await _until_running(trial)
        async with trial.place.links["cache"].under(Silent()):
            await _until_returned(trial)
            assert await other.over(accepted.job, wait=1, within=30) is not None
        outcome = await held
        assert isinstance(outcome, Ok)
        assert outcome.terminal
    assert trial.history.calls[1].seconds < 20
    (await trial.verdict()).require_sound()


async def test_a_poll_whose_time_is_up_is_the_state_and_no_error_without_redis(trial: Trial) -> None:
    """R25: 200 with the current state, in time."""
    async with trial.clients(1) as (client,):
        accepted = await client.accepted(trial.piece("long", task={"seconds": 6.0}), within=10)
        assert accepted is not None
        async with trial.place.links["cache"].under(Refusing()):
            outcome = await client.read(accepted.job, wait=1, conditional=False)
        assert isinstance(outcome, Ok)
        assert outcome.state in {"queued", "running"}
        assert trial.history.calls[-1].seconds < 4
        assert await client.over(accepted.job) is not None
    (await trial.verdict()).require_sound()


async def _accepted(trial: Trial, load: "asyncio.Task[None]", count: int) -> None:
    """So many jobs of the load have been accepted."""
    async with asyncio.timeout(60):
        while len(trial.history.accepted()) < count and not load.done():
            await asyncio.sleep(0.02)


async def _flush_often(trial: Trial) -> None:
    while True:
        await inflict(trial.place, Flush())
        await asyncio.sleep(0.1)


async def _until_running(trial: Trial) -> None:
    async with asyncio.timeout(30):
        while not trial.effects() or not any(call.act is Act.READ for call in trial.history.calls):
            await asyncio.sleep(0.02)


async def _until_returned(trial: Trial) -> None:
    async with asyncio.timeout(30):
        while len(trial.effects()) < 2:
            await asyncio.sleep(0.02)
