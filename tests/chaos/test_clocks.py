"""Workers whose clocks are two hours apart: leases, fences and lifetimes are the store's business.

R7 of `docs/guarantees.md`.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from random import Random
from typing import Final

import pytest
import pytest_asyncio

from deploy.local.backends import Backends
from deploy.local.services import SERVICES, ServiceSpec
from tests.chaos import trees
from tests.chaos.arena import POINTED, Arena, Plan, arena
from tests.chaos.faults import Freeze, Kill
from tests.chaos.inflict import inflict
from tests.chaos.points import Deed
from tests.chaos.trial import Trial
from tests.chaos.work import EXPIRY, Piece
from tests.chaos.worker_main import CLOCKS

JOBS: Final = 60
LIFETIME_SECONDS: Final = 60
STALE: Final = 20
FROZEN_SECONDS: Final = 6.0
"""Longer than the lifetime of what is to expire."""


@pytest_asyncio.fixture(scope="module")
async def apart(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Arena]:
    """One worker whose clock is an hour ahead and one whose clock is an hour behind; a gateway that is right."""
    others = [spec for spec in SERVICES if spec.name in {"gateway", "scheduler"}]
    services = (
        *(ServiceSpec(spec.name, spec.module, tuple(CLOCKS) if spec.needs else ()) for spec in others),
        *(ServiceSpec(name, POINTED) for name in CLOCKS),
    )
    plan = Plan(services=services, processes={})
    async with arena(backends, tmp_path_factory.mktemp("clocks"), "clocks", plan) as place:
        yield place


@pytest_asyncio.fixture
async def trial(apart: Arena) -> Trial:
    await apart.heal()
    return Trial(apart)


@pytest.mark.parametrize("point", ["claim.after", "finish.before"])
async def test_r07_a_worker_frozen_past_its_lease_changes_nothing_whatever_the_clocks_say(
    trial: Trial, point: str
) -> None:
    """R7, R5, R6: whichever stands still, the other takes over when the lease has lapsed, and the thawed one writes
    nothing.
    """
    place = trial.place
    place.armoury.arm(point, Deed.FREEZE)
    async with trial.clients(1) as (client,):
        carrying = asyncio.create_task(client.carry(trial.piece("frozen")))
        pid = await place.armoury.struck(point)
        with place.damage.lasting("freeze", pid=pid, detail=point):
            over = await carrying
            assert over is not None
            assert over.terminal
        trees.send([pid], signal.SIGCONT)
    name = next(name for name, process in place.services.items() if process.pid == pid)
    async with asyncio.timeout(30):
        while await place.metric(name, "sluice_jobs_running"):
            await asyncio.sleep(0.1)
    verdict = await trial.verdict()
    verdict.require_sound()


async def test_r07_no_lease_lapses_early_or_late_for_a_wrong_clock(trial: Trial, rng: Random) -> None:
    """R7, R8: long jobs whose messages come again stay with who has them; those of a killed one are taken over."""
    pieces = [Piece(f"{trial.tag}{n}", task={"seconds": round(rng.uniform(0.1, 6.0), 2)}) for n in range(JOBS)]
    load = asyncio.create_task(trial.load(pieces, JOBS, within=90))
    async with asyncio.timeout(30):
        while len(trial.effects()) < JOBS:
            await asyncio.sleep(0.05)
    await inflict(trial.place, Kill("ahead-1"))
    await load
    verdict = await trial.verdict()
    verdict.require_sound()
    assert verdict.counts.succeeded == JOBS
    assert verdict.counts.restarts.keys() <= {"kill"}


async def test_r07_no_lifetime_ends_early_for_a_wrong_clock(trial: Trial) -> None:
    """R7, R13: jobs that may wait for a minute run on both workers, the one whose clock is an hour ahead included."""
    pieces = [
        Piece(f"{trial.tag}{n}", task={"seconds": 0.3}, options={"expires_in_seconds": LIFETIME_SECONDS})
        for n in range(JOBS)
    ]
    await trial.load(pieces, JOBS)
    verdict = await trial.verdict()
    verdict.require_sound()
    assert verdict.counts.succeeded == JOBS
    workers = {process.pid for name, process in trial.place.services.items() if name.partition("-")[0] in CLOCKS}
    assert {effect.worker for effect in trial.effects()} == workers


async def test_r07_what_has_expired_never_starts_whatever_the_clocks_say(trial: Trial) -> None:
    """R7, R13: accepted while no worker moves; past their lifetime when both do, the one that is behind included."""
    pieces = [Piece(f"{trial.tag}{n}", EXPIRY, options={"expires_in_seconds": 1}) for n in range(STALE)]
    freezes = [asyncio.create_task(inflict(trial.place, Freeze(f"{name}-1", FROZEN_SECONDS))) for name in CLOCKS]
    await asyncio.sleep(0)
    await trial.load(pieces, STALE)
    await asyncio.gather(*freezes)
    verdict = await trial.verdict()
    assert not verdict.violations, "\n".join(map(str, verdict.violations))
    assert verdict.counts.ends == {"expired": STALE}
    assert not trial.effects()
