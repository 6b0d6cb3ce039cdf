"""Everything at once: work of all kinds under faults of all kinds, judged by the history. R1 to R16, R22, R23.

The short storm is a part of continuous integration. The great one has `SLUICE_STORM_JOBS` pieces of work, or as many as
this machine gets through in `SLUICE_STORM_SECONDS`.
"""

import os
from random import Random
from typing import Final

import pytest

from tests.chaos.conftest import Words
from tests.chaos.storm import Outcome, Storm, rage
from tests.chaos.trial import Trial

SHORT: Final = Storm(jobs=360, rate=12.0, most_seconds=32.0)
GREAT: Final = Storm(
    jobs=int(os.environ.get("SLUICE_STORM_JOBS", "20000")),
    rate=float(os.environ.get("SLUICE_STORM_RATE", "80")),
    crowd=300,
    pace=10.0,
    most_seconds=float(os.environ.get("SLUICE_STORM_SECONDS", "2700")),
)
GREAT_SECONDS: Final = 3_600


@pytest.mark.timeout(300)
async def test_a_short_storm_loses_nothing_and_repeats_no_effect(trial: Trial, rng: Random, words: Words) -> None:
    """R1, R3, R5, R8, R22: each kind of fault strikes; lost, unexpected, effects twice: none of each."""
    _judge(await rage(trial, rng, SHORT), words)


@pytest.mark.timeout(GREAT_SECONDS)
async def test_a_great_storm_loses_nothing_and_repeats_no_effect(trial: Trial, rng: Random, words: Words) -> None:
    """R1, R3, R5, R8, R22: the same, for long enough that rare meetings of faults happen."""
    outcome = await rage(trial, rng, GREAT)
    _judge(outcome, words)
    assert not outcome.missed


def _judge(outcome: Outcome, words: Words) -> None:
    words.append(str(outcome))
    outcome.verdict.require_sound()
    counts = outcome.verdict.counts
    assert (counts.lost, counts.unexpected, counts.duplicates) == (0, 0, 0)
