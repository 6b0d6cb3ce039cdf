"""A worker that dies, or stands still, at each moment that matters: R6 and R8 of `docs/guarantees.md`."""

import asyncio
import signal

import pytest

from tests.chaos import trees
from tests.chaos.points import POINTS, Deed
from tests.chaos.trial import Trial
from tests.chaos.work import Piece

FROZEN_AT = ("claim.after", "finish.before", "finish.after", "cache.before", "event.before", "ack.before")
NEIGHBOURS = 6


async def _kill_at(trial: Trial, point: str) -> None:
    """A worker dies there, over one of a few jobs. Every one of them must end well."""
    trial.place.armoury.arm(point, Deed.KILL)
    pieces = [Piece(f"{trial.tag}{n}", task={"seconds": 0.3}) for n in range(NEIGHBOURS)]
    load = asyncio.create_task(trial.load(pieces, NEIGHBOURS))
    await trial.place.armoury.struck(point)
    await load


@pytest.mark.parametrize("point", POINTS)
async def test_a_worker_killed_at_any_point_costs_no_job_and_at_most_a_start_each(trial: Trial, point: str) -> None:
    """R8, R1: SIGKILL before and after claim, finish, cache, event and ack."""
    await _kill_at(trial, point)
    verdict = await trial.verdict()
    verdict.require_sound()
    assert verdict.counts.succeeded == NEIGHBOURS
    assert verdict.counts.starts <= 2 * NEIGHBOURS  # one kill, which may hit all of them


@pytest.mark.parametrize("moment", ["start", "end"])
async def test_a_worker_killed_by_its_handler_runs_the_job_once_more(trial: Trial, moment: str) -> None:
    """R8, R1: SIGKILL before and after the handler's work."""
    await trial.load([trial.piece("fatal", task={"kill_worker": moment})], 1)
    verdict = await trial.verdict()
    verdict.require_sound()
    assert (verdict.counts.succeeded, verdict.counts.starts) == (1, 2)
    assert len(verdict.takeovers) == 1


@pytest.mark.parametrize("point", FROZEN_AT)
async def test_a_worker_frozen_past_its_lease_changes_nothing_when_it_goes_on(trial: Trial, point: str) -> None:
    """R6, R5: SIGSTOP, a rival finishes, SIGCONT. No result, no cache entry, no event of the frozen one's own."""
    place = trial.place
    place.armoury.arm(point, Deed.FREEZE)
    piece = trial.piece("frozen")
    async with trial.clients(1) as (client,):
        load = asyncio.create_task(client.carry(piece))
        pid = await place.armoury.struck(point)
        with place.damage.lasting("freeze", pid=pid, detail=point):
            over = await load
            assert over is not None
            assert over.terminal
        trees.send([pid], signal.SIGCONT)
    await _until_quiet(trial, pid)
    (await trial.verdict()).require_sound()


async def _until_quiet(trial: Trial, pid: int) -> None:
    """The thawed worker has settled all that it held: it may have written what it should not have."""
    name = next(name for name, process in trial.place.services.items() if process.pid == pid)
    async with asyncio.timeout(30):
        while await trial.place.metric(name, "sluice_jobs_running"):
            await asyncio.sleep(0.1)
