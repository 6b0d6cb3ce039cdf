"""The store at its worst: what it refuses, holds up or leaves unanswered is never a job's failure. R10, R1, R8."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest

from shared.storage.firestore.limits import Limits
from tests.chaos.faults import Cut, Fault, Weather
from tests.chaos.inflict import inflict
from tests.chaos.proxy import Passing, Refusing, RepliesLost, Silent
from tests.chaos.trial import Trial
from tests.chaos.work import Piece

LONGER_THAN_ANY_CALL = Limits().deadline_seconds + 2.0
LONGER_THAN_TWO_CALLS = 2 * Limits().deadline_seconds + 2.0
"""What follows a write of which nobody knows is a read."""
FAULTS: dict[str, Sequence[Fault]] = {
    "unavailable": [Weather("store", Refusing(), LONGER_THAN_ANY_CALL)],
    "too-late": [Weather("store", Silent(), LONGER_THAN_TWO_CALLS)],
    "answers-lost": [Weather("store", RepliesLost(), 2.0)],
    "cut": [Cut("store"), Cut("store", half=True), Weather("store", Passing(0.2), 2.0)],
}
JOBS = 100


@pytest.mark.parametrize("name", FAULTS)
async def test_r10_the_store_at_its_worst_costs_no_attempt(trial: Trial, rng: Random, name: str) -> None:
    """R10: under load, UNAVAILABLE and DEADLINE_EXCEEDED at every call there is; each job succeeds, on attempt 1.

    ABORTED, which no network makes, is in `tests/contract/storage/test_firestore_outcomes.py`.
    """
    pieces = [Piece(f"{trial.tag}{n}", task={"seconds": round(rng.random(), 2)}) for n in range(JOBS)]
    load = asyncio.create_task(trial.load(pieces, 20))
    for n, fault in enumerate(FAULTS[name], start=1):
        async with asyncio.timeout(60):
            while not load.done() and len(trial.history.accepted()) < n * JOBS // (len(FAULTS[name]) + 1):
                await asyncio.sleep(0.02)
        await inflict(trial.place, fault)
    await load
    evidence = await trial.evidence()
    trial.judge(evidence).require_sound()
    ends = {(job.status, job.attempt, job.attempts) for job in evidence.documents.values()}
    assert ends == {("succeeded", 1, ())}
