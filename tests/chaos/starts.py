"""Why a job started more than once: each further start needs a cause that was really there. Pure.

`lost` in a job's document is what the system believes; the causes here are what was done to it (`damage`), or what a
handler did by itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

from tests.chaos.effects import Effect, What, starts
from tests.chaos.evidence import Evidence

NOTED_LATE_SECONDS: Final = 1.0
"""A death is noted a little after it happened."""
THAWED_SECONDS: Final = 2.0
"""So soon after it goes on, a worker that stood still between a claim and a start makes that start, too late."""


class Cause(StrEnum):
    RETRY = "retry"
    """The attempt before failed, as its handler was told to."""
    KILL = "kill"
    """The worker of the run before died, or left."""
    LOSS = "loss"
    """The runner of the run before died, or was killed with what ran in it."""
    LAPSE = "lapse"
    """The worker of the run before could not renew its lease: it stood still, or was cut off from the store."""
    STALL = "stall"
    """Nobody on this machine got on."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Restart:
    """A start that was not the job's first. taken_over: seconds from the death of the worker before."""

    job: str
    before: Effect
    start: Effect
    cause: Cause
    taken_over: float | None = None


def restarts(evidence: Evidence) -> list[Restart]:
    deadly = _deadly_runners(evidence)
    return [
        _restart(evidence, deadly, before, start)
        for each in starts(evidence.effects).values()
        for before, start in pairwise(each)
    ]


def _deadly_runners(evidence: Evidence) -> dict[int, list[float]]:
    """When each runner was met by a handler that kills it."""
    met: dict[int, list[float]] = {}
    for effect in evidence.effects:
        piece = evidence.asked.get(effect.work)
        if piece is not None and piece.end.kills:
            met.setdefault(effect.runner, []).append(effect.at)
    return met


def _restart(evidence: Evidence, deadly: dict[int, list[float]], before: Effect, start: Effect) -> Restart:
    cause = _cause(evidence, deadly, before, start)
    taken_over = None
    if cause is Cause.KILL:
        died = [death.at for death in evidence.damage.deaths if death.pid == before.worker and death.at <= start.at]
        taken_over = start.at - max(died) if died else None
    return Restart(start.job, before, start, cause, taken_over)


def _cause(evidence: Evidence, deadly: dict[int, list[float]], before: Effect, start: Effect) -> Cause:
    if start.attempt > before.attempt:
        return Cause.RETRY if _was_to_fail(evidence, before) else Cause.NONE
    damage, since, until = evidence.damage, before.at, start.at + NOTED_LATE_SECONDS
    if damage.ended(before.worker, since, until) or damage.hindered_process("drain", before.worker, since, until):
        return Cause.KILL
    if damage.ended(before.runner, since, until) or any(
        since - 60 <= at <= until for at in deadly.get(before.runner, ())
    ):
        return Cause.LOSS
    stood_still = damage.hindered_process("freeze", before.worker, since, until) or damage.hindered_process(
        "freeze", start.worker, start.at - THAWED_SECONDS, start.at
    )
    if stood_still or damage.hindered("store", since, until):
        return Cause.LAPSE
    return Cause.STALL if damage.hindered("stall", since, until) else Cause.NONE


def _was_to_fail(evidence: Evidence, effect: Effect) -> bool:
    piece = evidence.asked.get(effect.work)
    return piece is not None and int(piece.task.get("failures", 0)) >= effect.attempt


def late(evidence: Evidence, found: Sequence[Restart]) -> Iterator[Restart]:
    """Starts after the return of the run that ended the job, except by workers that had stood still since their claim.

    While that run ends the job its claim is the last one, so nobody else's run can begin.
    """
    returns = {(each.job, each.fence): each.at for each in evidence.effects if each.what is What.RETURN}
    for restart in found:
        document = evidence.documents.get(restart.job)
        if document is None or restart.cause in {Cause.LAPSE, Cause.STALL} or restart.start.fence == document.fence:
            continue
        returned = returns.get((restart.job, document.fence))
        if returned is not None and returned < restart.start.at:
            yield restart


def unexplained(found: Sequence[Restart]) -> Iterator[Restart]:
    return (restart for restart in found if restart.cause is Cause.NONE)
