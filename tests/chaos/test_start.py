"""Processes whose dependencies are not there, and processes that are told to leave: R14 and R29."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic, time
from typing import Final

import aiohttp
import pytest

from tests.chaos.arena import Arena
from tests.chaos.faults import Kill
from tests.chaos.inflict import inflict
from tests.chaos.proxy import Refusing
from tests.chaos.trial import Trial
from tests.chaos.work import Piece

EXIT_SECONDS: Final = 10.0
SHORT_JOBS, LONG_JOBS = 20, 4
LATE_JOBS, LATE_CLIENTS = 40, 4
PULLING_SECONDS: Final = 1.0
"""What was pulled before a worker was told to leave may still start."""
ABSENT_SECONDS: Final = 4.0
"""So long, a process that could not bear it would have ended."""


@pytest.mark.timeout(240)
async def test_r29_services_without_their_dependencies_are_live_and_become_ready_by_themselves(
    trial: Trial, place: Arena
) -> None:
    """R29: nothing answers while they start; none of them ends, and each is ready once everything answers."""
    async with _absent(place):
        await _start_again(place)
        pids = {name: process.pid for name, process in place.services.items()}
        await asyncio.sleep(ABSENT_SECONDS)
        for name in place.services:
            assert await _status(place, name, "livez") == 200, name
            assert await _status(place, name, "readyz") == 503, name
    await place.heal()
    assert {name: process.pid for name, process in place.services.items()} == pids
    await trial.load([trial.piece("afterwards")], 1)
    verdict = await trial.verdict()
    verdict.require_sound()
    assert verdict.counts.succeeded == 1


@pytest.mark.timeout(240)
async def test_r14_a_service_that_is_still_starting_leaves_when_it_is_told_to(place: Arena) -> None:
    """R14, R29: it waits for what is absent, and SIGTERM ends it all the same, as it should."""
    async with _absent(place), place.supervision.resting(*place.services):
        for process in place.services.values():
            await process.kill()
        processes = list(place.services.values())
        for process in processes:
            await process.spawn()
        await asyncio.gather(*(_until_live(place, process.name) for process in processes))
        began = monotonic()
        exits = await asyncio.gather(*(process.stop() for process in processes))
    assert monotonic() - began < EXIT_SECONDS
    assert {process.name: how.code for process, how in zip(processes, exits, strict=True) if how} == {
        process.name: 0 for process in processes
    }


@pytest.mark.timeout(240)
async def test_r14_a_worker_that_is_told_to_leave_finishes_short_work_and_releases_the_rest(
    trial: Trial, place: Arena
) -> None:
    """R14: it pulls no more within a second, what is short ends with it, the other worker has the rest before a lease
    lapses.

    The long jobs take more than a drain may; each of them starts again once, and no start is for a lapsed lease. What
    is posted while it drains is the other worker's.
    """
    worker = place.services["worker-1"]
    long = [Piece(f"{trial.tag}long-{n}", task={"seconds": 14.0}) for n in range(LONG_JOBS)]
    short = [Piece(f"{trial.tag}short-{n}", task={"seconds": 1.0}) for n in range(SHORT_JOBS)]
    late = [Piece(f"{trial.tag}late-{n}", task={"seconds": 0.5}) for n in range(LATE_JOBS)]
    load = asyncio.create_task(trial.load([*long, *short], LONG_JOBS + SHORT_JOBS, within=90))
    await _started(trial, LONG_JOBS + SHORT_JOBS)
    async with place.supervision.resting(worker.name):
        pid, began = worker.pid, monotonic()
        told = time()
        with place.damage.lasting("drain", pid=pid, detail=worker.name):
            posting = asyncio.create_task(trial.load(late, LATE_CLIENTS, within=90))
            how = await worker.stop()
        assert monotonic() - began < EXIT_SECONDS
        await posting
        assert how is not None
        assert how.code == 0
        await load
    evidence = await trial.evidence()
    verdict = trial.judge(evidence)
    verdict.require_sound()
    mine = {effect.work for effect in evidence.effects if effect.worker == pid and effect.what == "start"}
    again = {effect.work for effect in evidence.effects if effect.worker != pid and effect.what == "start"} & mine
    assert again == {piece.work for piece in long} & mine
    assert not [
        effect
        for effect in evidence.effects
        if effect.worker == pid and effect.what == "start" and effect.at > told + PULLING_SECONDS
    ]
    assert {job.lost for job in evidence.documents.values()} == {0}


@asynccontextmanager
async def _absent(place: Arena) -> AsyncIterator[None]:
    """No backend takes a connection."""
    async with AsyncExitStack() as stack:
        for what, link in place.links.items():
            stack.enter_context(place.damage.lasting(what))
            await stack.enter_async_context(link.under(Refusing()))
        yield


async def _start_again(place: Arena) -> None:
    """Every service is killed, and started by `supervision`."""
    before = {name: process.pid for name, process in place.services.items()}
    await asyncio.gather(*(inflict(place, Kill(name)) for name in before))
    for name, pid in before.items():
        async with asyncio.timeout(30):
            while place.services[name].pid == pid:
                await asyncio.sleep(0.05)
        await _until_live(place, name)


async def _until_live(place: Arena, name: str) -> None:
    async with asyncio.timeout(60):
        while await _status(place, name, "livez") != 200:
            await asyncio.sleep(0.1)


async def _status(place: Arena, name: str, path: str) -> int:
    """Of its admin port; 0 where nothing listens yet."""
    url = f"http://127.0.0.1:{place.system.admin_ports[name]}/{path}"
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status
    except aiohttp.ClientConnectionError:
        return 0


async def _started(trial: Trial, count: int) -> None:
    async with asyncio.timeout(60):
        while len(trial.effects()) < count:
            await asyncio.sleep(0.02)
