"""A storm: a crowd of clients asks for a mix of work at a steady rate, while every kind of fault strikes by a schedule.

    outcome = await rage(trial, rng, Storm(jobs=400, rate=20))
    outcome.verdict.require_sound()
    print(outcome)

Everything that is chosen is drawn from one random source, so a seed gives the same work and the same schedule again;
how the two meet is up to the machine.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from random import Random
from time import monotonic
from typing import Any, Final

from tests.chaos.checker import Verdict
from tests.chaos.clients import Client
from tests.chaos.faults import Moment, kind_of, kinds, schedule
from tests.chaos.inflict import perform
from tests.chaos.trial import Trial
from tests.chaos.work import Piece, draw

DEADLY_EVERY: Final = 500
"""One piece in so many kills what it runs in, each time."""
CARRY_SECONDS: Final = 90.0
"""After which a client turns to other work; what it had asked for must happen all the same."""
DRAIN_SECONDS: Final = 180.0


@dataclass(frozen=True, slots=True)
class Storm:
    """jobs: pieces of work. rate: of them a second. crowd: clients, and so the most that are under way.
    pace: seconds between two faults of one target, about. most_seconds: after which faults end, and no more pieces are
    handed out, however many are left: a busy machine gets through fewer.
    """

    jobs: int
    rate: float
    crowd: int = 100
    pace: float = 3.0
    most_seconds: float = 3_600.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a storm did, and what the checker says.

    pieces: of work, that were asked for. seconds: with the drain. missed: kinds of faults that never came.
    """

    pieces: int
    verdict: Verdict
    faults: Counter[str]
    missed: frozenset[str]
    raged_seconds: float
    seconds: float

    def __str__(self) -> str:
        counts = self.verdict.counts
        lines = (
            f"{self.pieces} pieces of work; faults for {self.raged_seconds:.0f} s, {self.seconds:.0f} s in all",
            f"faults: {self.faults.total()} ({_listed(self.faults)})",
            f"kinds of faults that never struck: {', '.join(sorted(self.missed)) or 'none'}",
            f"requests: {counts.submitted}; slowest call {counts.slowest_call:.1f} s",
            f"  accepted {counts.accepted}, refused {counts.refused}, unknown {counts.unknown}",
            f"ends: {_listed(counts.ends)}",
            f"starts: {counts.starts}; beyond each job's first {counts.restarts.total()} ({_listed(counts.restarts)})",
            f"runs whose effects a fence kept off: {counts.fenced_off}",
            f"lost: {counts.lost}; unexpected: {counts.unexpected}; duplicates of effects: {counts.duplicates}",
            f"violations: {len(self.verdict.violations)}",
        )
        return "\n".join(lines)


async def rage(trial: Trial, rng: Random, storm: Storm) -> Outcome:
    """Let it rage until the last piece was handed out, then heal, carry what is left, drain and judge."""
    place, began, struck = trial.place, monotonic(), list[Moment]()
    pieces = draw(rng, storm.jobs, tag=trial.tag, deadly=1 + storm.jobs // DEADLY_EVERY, cancels=True)
    moments = schedule(rng, place.cast, pace=storm.pace)
    async with trial.clients(storm.crowd) as crowd:
        line = Line(trial.asks(pieces), storm)
        carrying = asyncio.gather(*(_carry(client, line) for client in crowd))
        try:
            await _until(line.closed.wait(), perform(place, moments, struck))
            raged = monotonic() - began
            await place.heal()
            await carrying
        finally:
            carrying.cancel()
            await asyncio.gather(carrying, return_exceptions=True)
    verdict = await trial.verdict(drain_seconds=DRAIN_SECONDS)
    counted = Counter(kind_of(moment.fault) for moment in struck)
    missed = frozenset(kinds(place.cast) - counted.keys())
    return Outcome(line.handed_out, verdict, counted, missed, raged, monotonic() - began)


class Line:
    """Pieces of work, handed out one by one from now on at a steady rate, for as long as the storm may last."""

    def __init__(self, pieces: Sequence[Piece], storm: Storm) -> None:
        self.closed = asyncio.Event()
        self.handed_out = 0
        self._pieces = pieces
        self._storm = storm
        self._began = monotonic()

    async def next(self) -> Piece | None:
        """When its time has come. None when no more are handed out."""
        number, until = self.handed_out, self._began + self._storm.most_seconds
        due = self._began + number / self._storm.rate
        if number == len(self._pieces) or max(due, monotonic()) > until:
            self.closed.set()
            return None
        self.handed_out += 1
        await asyncio.sleep(max(0.0, due - monotonic()))
        return self._pieces[number]


async def _carry(client: Client, line: Line) -> None:
    while (piece := await line.next()) is not None:
        await client.carry(piece, within=CARRY_SECONDS)


async def _until(end: Coroutine[Any, Any, object], faults: Coroutine[Any, Any, None]) -> None:
    """Have faults strike until then. Raises what hindered one of them."""
    ended, striking = asyncio.ensure_future(end), asyncio.ensure_future(faults)
    try:
        await asyncio.wait({ended, striking}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended.cancel()
        striking.cancel()
        (_, fault) = await asyncio.gather(ended, striking, return_exceptions=True)
    if isinstance(fault, Exception):
        raise fault


def _listed(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {times}" for name, times in sorted(counter.items()))
