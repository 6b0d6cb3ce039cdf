"""What must hold of every run, as one function a promise: each yields what breaks it. Pure; `checker` runs them all.

The numbers are those of `docs/guarantees.md`. A rule looks at evidence only, never at how the system works.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from shared.models.job import ErrorCode, Job, JobStatus
from shared.models.public import render
from tests.chaos.effects import What, starts
from tests.chaos.evidence import Evidence
from tests.chaos.history import Act, Fail, Ok
from tests.chaos.starts import late, restarts, unexplained

LOSSES_TO_FAIL: Final = 5


@dataclass(frozen=True, slots=True)
class Violation:
    rule: str
    about: str
    """A job, or a piece of work."""
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.about}: {self.what}"


Rule = Callable[[Evidence], Iterator[Violation]]


def accepted_jobs_are_over(evidence: Evidence) -> Iterator[Violation]:
    """R1: whatever was answered with 202 is terminal after healing."""
    for id, work in evidence.history.accepted().items():
        document = evidence.documents.get(id)
        if document is None or not document.status.terminal:
            yield Violation("R1", id, f"accepted for {work}, and it is {_state(document)}")


def started_jobs_are_over(evidence: Evidence) -> Iterator[Violation]:
    """R1, of jobs that no client was told of."""
    for id in starts(evidence.effects).keys() - evidence.history.accepted().keys():
        document = evidence.documents.get(id)
        if document is None or not document.status.terminal:
            yield Violation("R1", id, f"started, and it is {_state(document)}")


def what_was_refused_never_runs(evidence: Evidence) -> Iterator[Violation]:
    """R2: a refusal that says `accepted: false` is true, and so is that nobody else asked for it."""
    possible = {
        call.work for call in evidence.history.calls if call.act is Act.SUBMIT and not isinstance(call.outcome, Fail)
    }
    for work in {effect.work for effect in evidence.effects} - possible:
        yield Violation("R2", work, "it ran, and every request for it was refused, or there was none")


def a_request_is_one_job(evidence: Evidence) -> Iterator[Violation]:
    """R3, R4: a key stands for one job; a request without one is not carried out twice."""
    told: dict[str, set[str]] = defaultdict(set)
    ran: dict[str, set[str]] = defaultdict(set)
    asked: Counter[str] = Counter()
    for call in evidence.history.calls:
        if call.act is Act.SUBMIT and not isinstance(call.outcome, Fail):
            asked[call.work] += 1
            if isinstance(call.outcome, Ok):
                told[call.work].add(call.outcome.job)
    for effect in evidence.effects:
        ran[effect.work].add(effect.job)
    for work, times in asked.items():
        jobs, most = told[work] | ran[work], 1 if evidence.asked[work].keyed else times
        if len(jobs) > most:
            yield Violation("R3", work, f"{most} jobs were asked for and there are {len(jobs)}: {sorted(jobs)}")


def finished_jobs_never_change(evidence: Evidence) -> Iterator[Violation]:
    """R5: whoever looks, whenever, a terminal job is the same bytes: to clients, in the store, in Redis."""
    seen: dict[str, dict[bytes, str]] = defaultdict(dict)
    for call, ok in evidence.history.answers():
        if ok.terminal:
            seen[ok.job].setdefault(ok.body, f"client {call.client}")
    for id, document in evidence.documents.items():
        if document.status.terminal:
            seen[id].setdefault(render(document), "the store")
    for id, snapshot in evidence.cached.items():
        if snapshot.terminal:
            seen[id].setdefault(snapshot.body, "Redis")
    for id, bodies in seen.items():
        if len(bodies) > 1:
            yield Violation("R5", id, f"it ended in {len(bodies)} ways: {_differences(bodies)}")


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


def jobs_end_as_they_must(evidence: Evidence) -> Iterator[Violation]:
    """R10, R11, R12, R13, R16, R22: the right end, and no failed attempt that the handler is not to blame for."""
    for id, document in evidence.documents.items():
        piece = evidence.asked.get(_work_of(document))
        if piece is None or not document.status.terminal or _lost_too_often(evidence, document):
            continue
        code = document.error.code if document.error else None
        if (document.status, code) != (piece.end.status, piece.end.code):
            yield Violation("R22", id, f"{piece.work} ended {document.status}, {document.error}, not {piece.end}")
        blamed = {attempt.code for attempt in document.attempts} - piece.end.attempts
        if blamed:
            yield Violation("R10", id, f"{piece.work} has failed attempts with {sorted(blamed)}")


def further_starts_have_a_cause(evidence: Evidence) -> Iterator[Violation]:
    """R8, R9: a job starts again because something happened to the run before, and never once it has ended."""
    again = restarts(evidence)
    for restart in late(evidence, again):
        yield Violation("R9", restart.job, f"it started again after the run that ended it: {restart.start}")
    for restart in unexplained(again):
        seconds = restart.start.at - restart.before.at
        yield Violation("R8", restart.job, f"it started again after {seconds:.2f} s without a cause: {restart.before}")


def states_never_go_back(evidence: Evidence) -> Iterator[Violation]:
    """R23: who says which state it has seen is never shown an older one."""
    for call, ok in evidence.history.answers():
        if ok.order < call.known:
            yield Violation("R23", ok.job, f"client {call.client} had {call.known:x} and was shown {ok.order:x}")


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


def nothing_fails_inside(evidence: Evidence) -> Iterator[Violation]:
    """R22: an answer of 500 is never right."""
    for call in evidence.history.calls:
        if not isinstance(call.outcome, Ok) and call.outcome.status == 500:
            yield Violation("R22", call.job or call.work, f"{call.act} was answered with 500")


RULES: Final[tuple[Rule, ...]] = (
    accepted_jobs_are_over,
    started_jobs_are_over,
    what_was_refused_never_runs,
    a_request_is_one_job,
    finished_jobs_never_change,
    results_are_of_the_claim_that_ended_the_job,
    jobs_end_as_they_must,
    further_starts_have_a_cause,
    states_never_go_back,
    events_tell_how_it_ended,
    nothing_fails_inside,
)


def _state(document: Job | None) -> str:
    if document is None:
        return "not in the store"
    return f"{document.status} (attempt {document.attempt}, lost {document.lost}, by {document.worker})"


def _work_of(document: Job) -> str:
    work: str = orjson.loads(document.spec.input)["work"]
    return work


def _lost_too_often(evidence: Evidence, document: Job) -> bool:
    """Chaos may hit one job five times. Each loss has to have its cause, by another rule."""
    if document.error is None or document.error.code is not ErrorCode.WORKER_LOST:
        return False
    return len(starts(evidence.effects).get(document.spec.id, ())) >= LOSSES_TO_FAIL


def _differences(bodies: Mapping[bytes, str]) -> str:
    """The members in which they differ, and where each was seen."""
    shown = [(where, orjson.loads(body)) for body, where in bodies.items()]
    names = sorted({name for _, job in shown for name in job if any(job[name] != each.get(name) for _, each in shown)})
    return "; ".join(f"{where}: { {name: job.get(name) for name in names} }" for where, job in shown)
