"""What runs, how often, and what becomes of it: R5 to R16 of `docs/guarantees.md`."""

import asyncio
from typing import Final

import pytest

from services.worker.claim import ALONE_FROM_LOST, MAX_LOST
from tests.chaos.arena import Arena
from tests.chaos.evidence import until
from tests.chaos.faults import Freeze, Kill
from tests.chaos.history import Fail
from tests.chaos.inflict import inflict
from tests.chaos.messages import UNREADABLE, deliver, repeat
from tests.chaos.points import Deed
from tests.chaos.trial import Trial
from tests.chaos.work import BLOCKED, EXPIRY, LOSS, REJECTION, TIMEOUT, TOO_LARGE, Piece

OVERSIZE: Final = "x" * 300_000
"""More than a body may have."""
HEALTH_SECONDS: Final = 5.0
"""For an answer of an admin port, on a machine that may be busy."""
ALONE_AT_ONCE: Final = 2
"""Of a worker's jobs: `SLUICE_PROCESSES` is not set here."""


@pytest.mark.ci
async def test_without_any_fault_everything_runs_once_and_the_checker_is_content(trial: Trial) -> None:
    """R1, R5, R8: the ground on which the other tests stand."""
    pieces = [Piece(f"{trial.tag}{n}", keyed=n % 2 == 0) for n in range(40)]
    pieces.append(trial.piece("rejected", end=REJECTION, task={"reject": True}))
    await trial.load(pieces, 8)
    verdict = await trial.verdict()
    verdict.require_sound()
    assert (verdict.counts.succeeded, verdict.counts.starts) == (40, 41)


async def test_a_message_that_comes_again_after_the_end_runs_nothing_and_is_told_again(trial: Trial) -> None:
    """R9: the same message a second time; no start, the same event once more, and an acknowledgement."""
    place = trial.place
    async with trial.clients(1) as (client,):
        over = await client.carry(trial.piece("done"))
    assert over is not None
    before = await _events(place, over.job, at_least=1)
    await trial.evidence()
    place.armoury.arm("ack.after", Deed.NOTE)
    await repeat(place, [over.job])
    await place.armoury.struck("ack.after")
    assert await _events(place, over.job, at_least=before + 1) == before + 1
    verdict = await trial.verdict()
    verdict.require_sound()
    assert verdict.counts.starts == 1


@pytest.mark.ci
async def test_a_message_of_a_running_job_that_comes_again_does_not_start_it_again(trial: Trial) -> None:
    """R8: the lease lives, so whoever gets the copy leaves the job alone."""
    place = trial.place
    async with trial.clients(1) as (client,):
        carrying = asyncio.create_task(client.carry(trial.piece("long", task={"seconds": 6.0})))
        await _started(trial, 1)
        await repeat(place, [trial.effects()[0].job], copies=5)
        assert await carrying is not None
    verdict = await trial.verdict()
    verdict.require_sound()
    assert verdict.counts.starts == 1


@pytest.mark.timeout(240)
async def test_a_job_that_kills_its_runner_fails_and_its_neighbours_finish(trial: Trial) -> None:
    """R11: five losses, counted in the store; the neighbours lose no attempt."""
    deadly = trial.piece("deadly", end=LOSS, handler="chaos.deadly")
    pieces = [Piece(f"{trial.tag}{n}", task={"seconds": 0.5 + n % 4}) for n in range(12)]
    pieces.insert(4, deadly)
    await trial.load(pieces, len(pieces), within=120)
    evidence = await trial.evidence()
    trial.judge(evidence).require_sound()
    killer, *neighbours = sorted(evidence.documents.values(), key=lambda job: job.spec.handler != deadly.handler)
    assert killer.lost == MAX_LOST
    assert len([effect for effect in evidence.effects if effect.job == killer.spec.id]) == MAX_LOST
    assert {(job.status, job.attempt) for job in neighbours} == {("succeeded", 1)}
    assert {job.lost for job in neighbours} == {0}  # it is known who held the loop


@pytest.mark.timeout(240)
async def test_a_worker_that_is_lost_costs_only_what_it_runs_alone(trial: Trial) -> None:
    """R11: the neighbours of a killer that wait for a run alone are held by nobody, and lose nothing with a worker."""
    deadly = trial.piece("deadly", end=LOSS, handler="chaos.deadly_thread", task={"seconds": 0.5})
    pieces = [Piece(f"{trial.tag}{n}", task={"seconds": 4.0}) for n in range(40)]
    load = asyncio.create_task(trial.load(pieces, len(pieces), within=180))
    await _started(trial, len(pieces))
    dying = asyncio.create_task(trial.load([deadly], 1, within=180))
    assert await until(lambda: _suspects(trial, 6), within=60)
    workers = trial.place.cast.workers
    await asyncio.gather(*(inflict(trial.place, Kill(name)) for name in workers))
    await asyncio.gather(load, dying)
    evidence = await trial.evidence()
    trial.judge(evidence).require_sound()
    neighbours = [job for job in evidence.documents.values() if job.spec.handler != deadly.handler]
    assert {job.status for job in neighbours} == {"succeeded"}
    assert sum(job.lost > ALONE_FROM_LOST for job in neighbours) <= ALONE_AT_ONCE * len(workers)


async def _suspects(trial: Trial, count: int) -> bool:
    return sum(job.lost >= ALONE_FROM_LOST for job in (await trial.documents()).values()) >= count


@pytest.mark.timeout(300)
async def test_a_job_that_kills_its_worker_fails_after_five_lost_leases(trial: Trial) -> None:
    """R11: no worker survives it, and none is lost to it for ever."""
    deadly = trial.piece("deadly", end=LOSS, task={"kill_worker": "always"})
    pieces = [deadly, *trial.asks(Piece(f"{trial.tag}{n}", task={"seconds": 0.2}) for n in range(20))]
    await trial.load(pieces, len(pieces), within=240)
    evidence = await trial.evidence(drain_seconds=180)
    trial.judge(evidence).require_sound()
    killer = next(job for job in evidence.documents.values() if job.error)
    assert (killer.lost, len([effect for effect in evidence.effects if effect.job == killer.spec.id])) == (5, 5)
    assert {job.attempt for job in evidence.documents.values()} == {1}


@pytest.mark.timeout(240)
async def test_a_handler_that_blocks_its_process_stops_neither_leases_health_nor_other_jobs(trial: Trial) -> None:
    """R12: an endless loop that lets nothing else in its process run."""
    place = trial.place
    spinning = trial.piece("spin", end=BLOCKED, handler="chaos.spin")
    others = trial.asks(Piece(f"{trial.tag}{n}", task={"seconds": 0.2 * n}) for n in range(20))
    load = asyncio.create_task(trial.load([spinning, *others], len(others) + 1, within=120))
    await _started(trial, 2)
    while not load.done():
        for name in place.cast.workers:
            async with asyncio.timeout(HEALTH_SECONDS):
                assert await place.metric(name, "sluice_jobs_running") >= 0  # its admin port answers
        await asyncio.sleep(0.2)
    await load
    evidence = await trial.evidence()
    trial.judge(evidence).require_sound()
    attempts = {job.attempt for job in evidence.documents.values() if job.spec.handler == "chaos.work"}
    assert attempts == {1}


async def test_a_result_that_comes_after_the_time_limit_is_thrown_away(trial: Trial) -> None:
    """R13: the handler goes on and returns; the job has failed by then and stays so."""
    piece = trial.piece("late", end=TIMEOUT, handler="chaos.late")
    async with trial.clients(1) as (client,):
        over = await client.carry(piece)
        assert over is not None
        await client.carry(trial.piece("meanwhile"))
    async with asyncio.timeout(20):
        while not [effect for effect in trial.effects() if effect.work == piece.work and effect.what == "return"]:
            await asyncio.sleep(0.05)
    (await trial.verdict()).require_sound()


async def test_a_job_whose_time_has_passed_never_starts(trial: Trial) -> None:
    """R13: accepted while no worker moves, past its lifetime when they do."""
    place = trial.place
    stale = trial.piece("stale", end=EXPIRY, options={"expires_in_seconds": 1})
    async with trial.clients(1) as (client,):
        await client.carry(trial.piece("first"))
        freezes = [asyncio.create_task(inflict(place, Freeze(name, 6.0))) for name in place.cast.workers]
        await asyncio.sleep(0)
        accepted = await client.accepted(stale, within=10)
        assert accepted is not None
        await asyncio.gather(*freezes)
        over = await client.over(accepted.job)
    assert over is not None
    assert over.state == "expired"
    (await trial.verdict()).require_sound()
    assert stale.work not in {effect.work for effect in trial.effects()}


async def test_bad_messages_come_again_alone(trial: Trial) -> None:
    """R15: what cannot be read disturbs none that came with it; each of the others is delivered once."""
    place = trial.place
    before = await _claims(place)
    load = asyncio.create_task(trial.load([Piece(f"{trial.tag}{n}", task={"seconds": 0.5}) for n in range(60)], 30))
    await _started(trial, 10)
    await deliver(place, UNREADABLE * 3)
    await load
    verdict = await trial.verdict()
    verdict.require_sound()
    assert (verdict.counts.succeeded, verdict.counts.starts) == (60, 60)
    assert await _claims(place) - before == 60  # a message that came twice would have met its job there


async def test_what_is_too_large_is_refused_or_fails_once(trial: Trial) -> None:
    """R16: an input is 413, an output a typed failure that is not tried again."""
    large = trial.piece("large", end=TOO_LARGE, handler="chaos.large")
    async with trial.clients(1) as (client,):
        refused = await client.submit(trial.piece(OVERSIZE))
        assert isinstance(refused, Fail)
        assert refused.status == 413
        assert await client.carry(large) is not None
        assert await client.carry(trial.piece("small")) is not None
    verdict = await trial.verdict()
    verdict.require_sound()
    assert verdict.counts.starts == 2


async def _claims(place: Arena) -> float:
    """How many times workers have tried to claim a job."""
    return sum([await place.metric(name, "sluice_claims_total") for name in place.cast.workers])


async def _started(trial: Trial, count: int) -> None:
    async with asyncio.timeout(30):
        while len(trial.effects()) < count:
            await asyncio.sleep(0.02)


async def _events(place: Arena, job: str, *, at_least: int) -> int:
    """How many events told of the job, once there are so many."""
    async with asyncio.timeout(20):
        while len(place.tap.heard.get(job, ())) < at_least:
            await asyncio.sleep(0.05)
    return len(place.tap.heard[job])
