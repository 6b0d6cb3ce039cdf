"""Two schedulers side by side, one of which is lost: every timer is released, and no job runs twice."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio

from deploy.local.backends import Backends
from shared.storage.contract import TIMER_SHARDS
from shared.storage.firestore import FirestoreDatabase, FirestoreShardLeases
from shared.storage.shard_leases import TIMERS
from tests.chaos.arena import Arena, Plan, arena
from tests.chaos.faults import Freeze, Kill, Terminate
from tests.chaos.inflict import inflict
from tests.chaos.trial import Trial
from tests.chaos.work import AFTER_RETRIES, Piece

SHARD_LEASE_SECONDS: Final = 3
LOST: Final = "scheduler-1"
JOBS: Final = 120
SETTLED_SECONDS: Final = 30.0


@pytest_asyncio.fixture(scope="module")
async def pair(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Arena]:
    """Two schedulers, a gateway and two workers."""
    plan = Plan(
        pointed=False,
        processes={"gateway": 1, "worker": 2, "scheduler": 2},
        environ={"SLUICE_SHARD_LEASE_SECONDS": str(SHARD_LEASE_SECONDS)},
    )
    async with arena(backends, tmp_path_factory.mktemp("schedulers"), "schedulers", plan) as place:
        yield place


@pytest_asyncio.fixture
async def trial(pair: Arena) -> Trial:
    """Both schedulers have their half of the shards."""
    await pair.heal()
    async with asyncio.timeout(SETTLED_SECONDS):
        while sorted((await _shares(pair)).values()) != [TIMER_SHARDS // 2] * 2:
            await asyncio.sleep(0.1)
    return Trial(pair)


async def _shares(place: Arena) -> dict[str, int]:
    """How many shards each scheduler has that is there, by its instance."""
    async with FirestoreDatabase(place.project, place.backends.firestore.address) as database:
        leases = FirestoreShardLeases(database, TIMERS)
        terms = [each.value for each in await leases.terms() if each.idle_seconds < each.value.lease_seconds]
        stored = await leases.allotment()
    holders = list(stored.value.holders.values()) if stored else []
    return {term.instance: holders.count(term.id) for term in terms}


def _delayed(trial: Trial) -> list[Piece]:
    """Jobs that fall due over some seconds, every third of which is tried again once."""
    return trial.asks(
        Piece(
            f"{trial.tag}{n}",
            **({"end": AFTER_RETRIES, "task": {"failures": 1}} if n % 3 == 0 else {}),  # type: ignore[arg-type]
            options={"delay_seconds": 2.0 + 6.0 * n / JOBS},
        )
        for n in range(JOBS)
    )


async def _each_ran_once(trial: Trial, load: "asyncio.Task[None]") -> None:
    await load
    verdict = await trial.verdict()
    verdict.require_sound()
    assert verdict.counts.succeeded == JOBS
    assert verdict.counts.starts == JOBS + JOBS // 3  # an attempt each


@pytest.mark.timeout(240)
async def test_the_timers_of_a_killed_scheduler_are_released_by_the_other_and_nothing_runs_twice(trial: Trial) -> None:
    place = trial.place
    load = asyncio.create_task(trial.load(_delayed(trial), JOBS, within=90))
    await asyncio.sleep(3)  # into the time in which they fall due
    async with place.supervision.resting(LOST):
        await inflict(place, Kill(LOST))
        await _each_over(load)
        assert list((await _shares(place)).values()) == [TIMER_SHARDS]
    await _each_ran_once(trial, load)


@pytest.mark.timeout(240)
async def test_the_timers_of_a_frozen_scheduler_are_released_by_the_other_and_nothing_runs_twice(trial: Trial) -> None:
    """It thaws in the middle, with timers in its hands that the other has released since."""
    place = trial.place
    load = asyncio.create_task(trial.load(_delayed(trial), JOBS, within=90))
    await asyncio.sleep(3)
    await inflict(place, Freeze(LOST, 2.5 * SHARD_LEASE_SECONDS))
    await _each_over(load)
    await _each_ran_once(trial, load)


@pytest.mark.timeout(240)
async def test_a_scheduler_that_is_told_to_end_hands_its_shards_over(trial: Trial) -> None:
    place = trial.place
    load = asyncio.create_task(trial.load(_delayed(trial), JOBS, within=90))
    await asyncio.sleep(3)
    async with place.supervision.resting(LOST):
        await inflict(place, Terminate(LOST))
        assert list((await _shares(place)).values()) == [TIMER_SHARDS]
        await _each_over(load)
    await _each_ran_once(trial, load)


async def _each_over(load: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(90):
        await asyncio.shield(load)
