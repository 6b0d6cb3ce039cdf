"""Jobs end as they must, with the result of the run that ended them, and everybody hears of it. Run by `checker`."""

from collections.abc import Iterator
from typing import Final

import orjson

from shared.clock import MILLISECONDS
from shared.models.job import ErrorCode, Job, JobStatus
from tests.chaos.effects import What, starts
from tests.chaos.evidence import Evidence
from tests.chaos.rules.violation import Violation
from tests.chaos.work import Piece

LOSSES_TO_FAIL: Final = 5


def jobs_end_as_they_must(evidence: Evidence) -> Iterator[Violation]:
    """R10, R11, R12, R13, R16, R22: the right end, and no failed attempt that the handler is not to blame for."""
    for id, document in evidence.documents.items():
        piece = evidence.asked.get(_work_of(document))
        if piece is None or not document.status.terminal or _lost_too_often(evidence, document):
            continue
        if not _fits(evidence, piece, document):
            yield Violation("R22", id, f"{piece.work} ended {document.status}, {document.error}, not {piece.end}")
        blamed = {attempt.code for attempt in document.attempts} - piece.end.attempts
        if blamed:
            yield Violation("R10", id, f"{piece.work} has failed attempts with {sorted(blamed)}")


def results_are_of_the_claim_that_ended_the_job(evidence: Evidence) -> Iterator[Violation]:
    """R6: the result in the store was made by the run whose fence is there too, and that run came to its end."""
    ended = {(effect.job, effect.run): effect for effect in evidence.effects if effect.what is What.RETURN}
    for id, document in evidence.documents.items():
        if document.status is not JobStatus.SUCCEEDED or document.output is None:
            continue
        output = orjson.loads(document.output)
        run = ended.get((id, output["run"]))
        if run is None or output["work"] != run.work:
            yield Violation("R6", id, f"its result is of a run that never ended: {output}")
        elif run.fence != document.fence:
            yield Violation("R6", id, "its result is of a run whose claim had been taken over")


def events_tell_how_it_ended(evidence: Evidence) -> Iterator[Violation]:
    """R6, R9: every end is told, and nothing is told that is not so."""
    for id, document in evidence.documents.items():
        if not document.status.terminal:
            continue
        ends = [told for told in evidence.events.get(id, ()) if told.finished_at is not None]
        if not ends:
            yield Violation("R9", id, f"it is {document.status}, and no event told of it")
        for told in ends:
            if (told.status, told.finished_at) != (document.status, document.finished_at):
                yield Violation("R6", id, f"an event told {told}, and it is {document.status}, {document.finished_at}")


def _fits(evidence: Evidence, piece: Piece, document: Job) -> bool:
    if piece.canceled and document.status is JobStatus.CANCELED:
        return document.spec.id in evidence.history.canceled()
    code = document.error.code if document.error else None
    return (document.status, code) == (piece.end.status, piece.end.code)


def _work_of(document: Job) -> str:
    """Empty for a tombstone, of which nobody knows it."""
    return str(orjson.loads(document.spec.input)["work"]) if document.spec.known else ""


def _lost_too_often(evidence: Evidence, document: Job) -> bool:
    """Chaos may hit one job five times: as it ran, or between a claim and a start, which leaves no start.

    Each loss has to have its cause: for those that were followed by a start, by another rule.
    """
    if document.error is None or document.error.code is not ErrorCode.WORKER_LOST:
        return False
    begun = len(starts(evidence.effects).get(document.spec.id, ()))
    return begun >= LOSSES_TO_FAIL or (begun > 0 and _deaths_in(evidence, document) >= document.lost >= LOSSES_TO_FAIL)


def _deaths_in(evidence: Evidence, document: Job) -> int:
    """How many workers and runners died in the job's time, by whatever hand."""
    since, until = document.spec.created_at / MILLISECONDS, (document.finished_at or 0) / MILLISECONDS
    killed = sum(
        death.name.startswith(("worker", "runner")) and since <= death.at <= until for death in evidence.damage.deaths
    )
    deadly = {piece.work for piece in evidence.asked.values() if piece.end.kills}
    return killed + sum(
        effect.what is What.START and effect.work in deadly and since <= effect.at <= until
        for effect in evidence.effects
    )
