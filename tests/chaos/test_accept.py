"""What is accepted happens, and what is not accepted does not: R1 to R4 of `docs/guarantees.md`."""

import asyncio
from random import Random

import pytest

from tests.chaos.arena import PUBLISH_SECONDS, Arena
from tests.chaos.faults import Flush, Kill, Terminate
from tests.chaos.history import Act, Info, Ok
from tests.chaos.inflict import inflict
from tests.chaos.proxy import Condition, Refusing, RepliesLost, Silent
from tests.chaos.trial import Trial
from tests.chaos.work import Piece

ANSWER_SECONDS = PUBLISH_SECONDS + 2.0
"""A gateway gives up at its publish deadline; the rest is for a busy machine."""


@pytest.mark.parametrize("condition", [Refusing(), Silent(), RepliesLost()], ids=lambda each: type(each).__name__)
async def test_nothing_is_accepted_without_the_brokers_word(trial: Trial, condition: Condition) -> None:
    """R2: no 202, a 503 within the deadline; what was said not to be accepted never runs, not even later."""
    pieces = [trial.piece(f"refused-{n}") for n in range(20)]
    async with trial.clients(20) as group:
        async with trial.place.links["broker"].under(condition):
            outcomes = await asyncio.gather(
                *(client.submit(piece) for client, piece in zip(group, pieces, strict=True))
            )
        assert not [outcome for outcome in outcomes if isinstance(outcome, Ok)]
        assert {outcome.status for outcome in outcomes if not isinstance(outcome, Ok)} == {503}
        assert max(call.seconds for call in trial.history.calls) < ANSWER_SECONDS
        assert await group[0].carry(trial.piece("afterwards")) is not None
    (await trial.verdict()).require_sound()


async def test_a_request_whose_fate_is_unknown_is_repeated_with_its_key(trial: Trial) -> None:
    """R3: the broker has the job, its answer is lost, and Redis forgets; the retry gets the same id, it runs once."""
    piece = trial.piece("once", keyed=True)
    async with trial.clients(1) as (client,):
        async with trial.place.links["broker"].under(RepliesLost()):
            first = await client.submit(piece)
            assert isinstance(first, Info)
            assert first.status == 503
            await trial.place.links["broker"].swallowed()
        await inflict(trial.place, Flush())
        over = await client.carry(piece)
        assert over is not None
        again = await client.submit(piece)
        assert isinstance(again, Ok)
        assert (again.job, again.replayed, again.body) == (over.job, True, over.body)
    verdict = await trial.verdict()
    verdict.require_sound()
    assert verdict.counts.starts == 1


async def test_a_hundred_equal_requests_over_two_gateways_are_one_job_while_redis_forgets(trial: Trial) -> None:
    """R4: one key, a flush in the middle; one job, one run."""
    piece = trial.piece("crowd", keyed=True, task={"seconds": 1.0})
    async with trial.clients(100, spread=True) as group:
        storm = asyncio.gather(*(client.accepted(piece, within=30) for client in group))
        await _until_answered(trial, 20)
        await inflict(trial.place, Flush())
        answers = await storm
        assert len({answer.job for answer in answers if answer is not None}) == 1
        assert all(answers)
        assert await group[0].carry(piece) is not None
    verdict = await trial.verdict()
    verdict.require_sound()
    assert verdict.counts.starts == 1


@pytest.mark.ci
async def test_gateways_killed_and_deployed_while_they_accept_lose_nothing_accepted(
    trial: Trial, place: Arena, rng: Random
) -> None:
    """R1, R3: half of the requests keyed and repeated; whatever was answered with 202 happens, each once."""
    pieces = [Piece(f"{trial.tag}{n}", keyed=rng.random() < 0.5) for n in range(150)]
    load = asyncio.create_task(trial.load(pieces, 10))
    for fault in (Kill("gateway-1"), Terminate("gateway-2"), Kill("gateway-2"), Kill("gateway-1")):
        settled = len(trial.history.accepted())
        async with asyncio.timeout(60):
            while not load.done() and len(trial.history.accepted()) < settled + 20:
                await asyncio.sleep(0.02)
        await inflict(place, fault)
    await load
    verdict = await trial.verdict()
    verdict.require_sound()
    assert verdict.counts.starts == verdict.counts.succeeded


async def _until_answered(trial: Trial, calls: int) -> None:
    async with asyncio.timeout(30):
        while sum(call.act is Act.SUBMIT and call.ended_at is not None for call in trial.history.calls) < calls:
            await asyncio.sleep(0.005)
