"""Whether the checker is awake: workers with one bug each, on purpose, under the fault that shows it.

`test_crash_points` has sound workers pass the same.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final

import pytest
import pytest_asyncio

from tests.chaos import trees
from tests.chaos.arena import Arena
from tests.chaos.checker import Verdict
from tests.chaos.inflict import replace
from tests.chaos.messages import repeat
from tests.chaos.points import Deed
from tests.chaos.trial import Trial

GIVEN_UP_SECONDS: Final = 15.0
"""What a sound system does not need to get over a killed worker when it has nothing else to do."""

Scene = Callable[[Trial], Coroutine[Any, Any, None]]


@pytest_asyncio.fixture(autouse=True, scope="module")
async def sound_again(shared_arena: Arena) -> AsyncIterator[None]:
    """Nobody has a bug after these tests."""
    yield
    await replace(shared_arena, shared_arena.cast.workers, "")


async def _one_dies(trial: Trial) -> None:
    """A worker is killed when it has claimed a job."""
    trial.place.armoury.arm("claim.after", Deed.KILL)
    async with trial.clients(1) as (client,):
        await client.accepted(trial.piece("cut short"), within=10)
    await trial.place.armoury.struck("claim.after")


async def _one_dies_before_it_writes(trial: Trial) -> None:
    """A worker is killed with a result in its hands."""
    trial.place.armoury.arm("finish.before", Deed.KILL)
    await trial.load([trial.piece("unwritten")], 1)


async def _one_stands_still(trial: Trial) -> None:
    """A worker is frozen with a result in its hands, another one ends the job, and it goes on."""
    trial.place.armoury.arm("finish.before", Deed.FREEZE)
    async with trial.clients(1) as (client,):
        carrying = asyncio.create_task(client.carry(trial.piece("frozen")))
        pid = await trial.place.armoury.struck("finish.before")
        with trial.place.damage.lasting("freeze", pid=pid):
            over = await carrying
            trial.place.armoury.arm("event.after", Deed.NOTE)
            trees.send([pid], signal.SIGCONT)
        assert over is not None
        await trial.place.armoury.struck("event.after")


async def _messages_come_twice(trial: Trial) -> None:
    """While the job runs, its message is there again."""
    async with trial.clients(1) as (client,):
        carrying = asyncio.create_task(client.carry(trial.piece("long", task={"seconds": 3.0})))
        while not trial.effects():
            await asyncio.sleep(0.02)
        await repeat(trial.place, [trial.effects()[0].job], copies=5)
        await carrying


SCENES: Final[dict[str, tuple[Scene, str]]] = {
    "acknowledges-first": (_one_dies, "R1"),
    "finishes-without-precondition": (_one_stands_still, "R5"),
    "tells-first": (_one_dies_before_it_writes, "R5"),
    "ignores-leases": (_messages_come_twice, "R8"),
}
SHORT: Final = frozenset({"acknowledges-first", "finishes-without-precondition"})
"""Those that continuous integration tries."""


@pytest.mark.parametrize("bug", [pytest.param(bug, marks=[pytest.mark.ci] * (bug in SHORT)) for bug in SCENES])
async def test_the_checker_notices_a_planted_bug(trial: Trial, bug: str) -> None:
    """R1, R5, R6, R8: acknowledging before the write, finishing without a precondition, and two more."""
    scene, rule = SCENES[bug]
    await replace(trial.place, trial.place.cast.workers, bug)
    await scene(trial)
    verdict = await _verdict(trial, bug)
    assert verdict.broken(rule), verdict.violations


async def _verdict(trial: Trial, bug: str) -> Verdict:
    """What is lost for good is not waited for long."""
    if bug == "acknowledges-first":
        return trial.judge(await trial.evidence(drain_seconds=GIVEN_UP_SECONDS))
    return await trial.verdict()
