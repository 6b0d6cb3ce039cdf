"""Batches under faults of all kinds, judged by the documents of their items: R17 to R19 of `docs/guarantees.md`."""

import secrets
from collections.abc import AsyncIterator
from itertools import takewhile
from random import Random
from typing import Final

import pytest
import pytest_asyncio

from tests.chaos.arena import Arena
from tests.chaos.batch_trial import BatchTrial, batch_trial
from tests.chaos.batches import Wanted, draw
from tests.chaos.conftest import Words
from tests.chaos.evidence import until
from tests.chaos.faults import schedule
from tests.chaos.inflict import replace
from tests.chaos.rules.batching import require_conclusive

BATCHES: Final = 6
ITEMS: Final = 50
RAGED_SECONDS: Final = 20.0
PACE: Final = 4.0
OVER_SECONDS: Final = 60.0
LONG_SECONDS: Final = 12.0
"""Of the last item: what others are told again is taken before it is over."""


@pytest_asyncio.fixture
async def trial(place: Arena) -> AsyncIterator[BatchTrial]:
    async with batch_trial(place, f"t{secrets.token_hex(4)}-") as running:
        yield running


@pytest.mark.timeout(420)
async def test_batches_are_what_their_items_say_whatever_happens(trial: BatchTrial, rng: Random, words: Words) -> None:
    """R17, R18, R19: gateways, workers and aggregators are killed, frozen and restarted, Redis is flushed, messages and
    events come again, while batches are uploaded, run, canceled and reduced.
    """
    wanted = draw(rng, BATCHES, tag=trial.tag, items=ITEMS)
    moments = takewhile(lambda moment: moment.at < RAGED_SECONDS, schedule(rng, trial.place.cast, pace=PACE))
    struck = await trial.load(wanted, moments)
    assert await trial.over(), await trial.documents()
    before = await trial.documents()
    await trial.told_again(rng)
    assert await trial.documents() == before  # what is over never changes
    seen = await trial.seen(wanted)
    words.append(
        f"{len(struck)} faults; {[(each.wanted.name, str(each.batch and each.batch.status)) for each in seen]}"
    )
    assert not (violations := trial.violations(seen)), "\n".join(map(str, violations))
    require_conclusive(seen)
    for batch in before.values():
        assert _writes_are_rare(trial, batch.revision, (batch.finished_at or 0) - batch.spec.created_at)


def _writes_are_rare(trial: BatchTrial, revision: int, milliseconds: int) -> bool:
    """Each aggregator writes once a second, until it knows of the other; whoever is started anew does not know it."""
    aggregators = len(trial.place.cast.aggregators)
    deaths = sum(death.name in trial.place.cast.aggregators for death in trial.place.damage.deaths)
    return revision <= aggregators * (milliseconds / 1_000 + 2) + deaths + 3


@pytest_asyncio.fixture
async def sound_again(place: Arena) -> AsyncIterator[None]:
    """Nobody has a bug after the test."""
    yield
    await replace(place, place.cast.aggregators, "")


@pytest.mark.usefixtures("sound_again")
@pytest.mark.parametrize(
    ("bug", "rule"),
    [pytest.param("adds", "R17", marks=pytest.mark.ci), ("counts-events", "R18"), pytest.param("", "", id="sound")],
)
async def test_the_judge_notices_a_planted_bug(trial: BatchTrial, rng: Random, bug: str, rule: str) -> None:
    """R17, R18: what is told three times is merged, not added up, and is not taken for the last item's end."""
    await replace(trial.place, trial.place.cast.aggregators, bug)
    wanted = _with_a_long_item(trial.tag)
    await trial.load([wanted])
    await _all_but_one_are_over(trial)
    for _ in range(2):
        await trial.told_again(rng)
    if bug:
        violations = trial.violations(await trial.seen([wanted]))
        assert rule in {violation.rule for violation in violations}, violations
    else:
        assert await trial.over(OVER_SECONDS)
        seen = await trial.seen([wanted])
        assert not (violations := trial.violations(seen)), "\n".join(map(str, violations))
        require_conclusive(seen)


def _with_a_long_item(tag: str) -> Wanted:
    tasks = [{"work": f"{tag}long-{index}", "amount": index, "seconds": 0.0} for index in range(20)]
    return Wanted(f"{tag}long", [*tasks, {"work": f"{tag}last", "seconds": LONG_SECONDS}])


async def _all_but_one_are_over(trial: BatchTrial) -> None:
    """And the batch knows."""

    async def known() -> bool:
        return all(batch.counts.succeeded == batch.total - 1 for batch in (await trial.documents()).values())

    assert await until(known, LONG_SECONDS)
