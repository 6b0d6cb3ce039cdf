"""What must hold of every run, as one function a promise: each yields what breaks it. Pure; `checker` runs them all.

The numbers are those of `docs/guarantees.md`. A rule looks at evidence only, never at how the system works.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from shared.clock import MILLISECONDS
from shared.models.job import ErrorCode, Job, JobStatus
from shared.models.public import render
from tests.chaos.effects import Effect, What, starts
from tests.chaos.evidence import Evidence
from tests.chaos.history import Act, Fail, Ok
from tests.chaos.starts import late, restarts, unexplained
from tests.chaos.work import Piece

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
    """R1: whatever was answered with 202 is terminal after healing, and its message was met."""
    for id, work in evidence.history.accepted().items():
        document = evidence.documents.get(id)
        if document is None or not settled(document):
            yield Violation("R1", id, f"accepted for {work}, and it is {_state(document)}")


def started_jobs_are_over(evidence: Evidence) -> Iterator[Violation]:
    """R1, of jobs that no client was told of."""
    for id in starts(evidence.effects).keys() - evidence.history.accepted().keys():
        document = evidence.documents.get(id)
        if document is None or not settled(document):
            yield Violation("R1", id, f"started, and it is {_state(document)}")


def accepted_jobs_are_known(evidence: Evidence) -> Iterator[Violation]:
    """R1: nobody is told that there is no such job, or none any more."""
    accepted = evidence.history.accepted()
    for call in evidence.history.calls:
        if call.job in accepted and isinstance(call.outcome, Fail) and call.outcome.status in {404, 410}:
            yield Violation("R1", call.job, f"it was accepted, and {call.act} was answered with {call.outcome.status}")


def what_was_refused_never_runs(evidence: Evidence) -> Iterator[Violation]:
    """R2: a refusal that says `accepted: false` is true, and so is that nobody else asked for it."""
    for work in {effect.work for effect in evidence.effects} - possible_jobs(evidence).keys():
        yield Violation("R2", work, "it ran, and every request for it was refused, or there was none")


def a_request_is_one_job(evidence: Evidence) -> Iterator[Violation]:
    """R3, R4: a key stands for one job; a request without one is not carried out twice."""
    told: dict[str, set[str]] = defaultdict(set)
    ran: dict[str, set[str]] = defaultdict(set)
    for id, work in evidence.history.accepted().items():
        told[work].add(id)
    for effect in evidence.effects:
        ran[effect.work].add(effect.job)
    for work, most in possible_jobs(evidence).items():
        jobs = told[work] | ran[work]
        if len(jobs) > most:
            yield Violation("R3", work, f"{most} jobs were asked for and there are {len(jobs)}: {sorted(jobs)}")


def effects_happen_once(evidence: Evidence) -> Iterator[Violation]:
    """R3, R8: an effect that is fenced, which counts if its fence is the one that its job ended with, happens once."""
    possible = possible_jobs(evidence)
    for work, runs in fenced(evidence).items():
        if 0 < possible[work] < len(runs):  # one that nobody asked for is another matter
            yield Violation("R8", work, f"its effect happened {len(runs)} times: {[run.run for run in runs]}")


def a_fence_is_for_one_run(evidence: Evidence) -> Iterator[Violation]:
    """R8: what fences its effects relies on it."""
    begun = Counter((effect.job, effect.fence) for effect in evidence.effects if effect.what is What.START)
    for (id, fence), times in begun.items():
        if times > 1:
            yield Violation("R8", id, f"it started {times} times under the fence {fence}")


def what_never_started_never_ran(evidence: Evidence) -> Iterator[Violation]:
    """R13: a job that was canceled or expired before its time, and says so, never began."""
    ran = starts(evidence.effects)
    for id, document in evidence.documents.items():
        if document.status.terminal and document.started_at is None and id in ran:
            yield Violation("R13", id, f"it is {document.status}, has no start, and it started {len(ran[id])} times")


def finished_jobs_never_change(evidence: Evidence) -> Iterator[Violation]:
    """R5: whoever looks, whenever, a terminal job is the same bytes: to clients, in the store, in Redis.

    A tombstone says less of the job than is said once a worker has met its message, and nothing else.
    """
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
        if len(_told_apart(bodies)) > 1:
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
        if not _fits(evidence, piece, document):
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


def processes_end_when_told(evidence: Evidence) -> Iterator[Violation]:
    """R14: nobody has to kill them."""
    for name in evidence.damage.overdue:
        yield Violation("R14", name, "it was told to end, and had to be killed")


RULES: Final[tuple[Rule, ...]] = (
    accepted_jobs_are_over,
    started_jobs_are_over,
    accepted_jobs_are_known,
    what_was_refused_never_runs,
    a_request_is_one_job,
    effects_happen_once,
    a_fence_is_for_one_run,
    what_never_started_never_ran,
    finished_jobs_never_change,
    results_are_of_the_claim_that_ended_the_job,
    jobs_end_as_they_must,
    further_starts_have_a_cause,
    states_never_go_back,
    events_tell_how_it_ended,
    nothing_fails_inside,
    processes_end_when_told,
)


def settled(document: Job) -> bool:
    """Over, and no message of it is still to come: a tombstone gets what was asked for from that."""
    return document.status.terminal and document.spec.known


def possible_jobs(evidence: Evidence) -> Counter[str]:
    """By work, how many jobs the requests for it may have made: one for all that had a key."""
    possible = Counter(
        call.work for call in evidence.history.calls if call.act is Act.SUBMIT and not isinstance(call.outcome, Fail)
    )
    return Counter({work: 1 if evidence.asked[work].keyed else times for work, times in possible.items()})


def fenced(evidence: Evidence) -> dict[str, list[Effect]]:
    """By work, the runs whose effects a fence lets through: they returned under the one that their job ended with."""
    let_through: dict[str, list[Effect]] = defaultdict(list)
    for effect in evidence.effects:
        document = evidence.documents.get(effect.job)
        if effect.what is What.RETURN and document is not None and document.fence == effect.fence:
            let_through[effect.work].append(effect)
    return let_through


def _fits(evidence: Evidence, piece: Piece, document: Job) -> bool:
    if piece.canceled and document.status is JobStatus.CANCELED:
        return document.spec.id in evidence.history.canceled()
    code = document.error.code if document.error else None
    return (document.status, code) == (piece.end.status, piece.end.code)


def _told_apart(bodies: Iterable[bytes]) -> set[bytes]:
    """Without those of tombstones that another one only adds to."""
    found = set(bodies)
    shown = {body: orjson.loads(body) for body in found}
    for body, job in shown.items():
        if job.get("handler", "") is None and any(_adds_to(job, other) for other in shown.values() if other is not job):
            found.discard(body)
    return found


def _adds_to(tombstone: Mapping[str, object], job: Mapping[str, object]) -> bool:
    return job.get("handler") is not None and all(
        said is None or job.get(name) == said for name, said in tombstone.items()
    )


def _state(document: Job | None) -> str:
    if document is None:
        return "not in the store"
    return f"{document.status} (attempt {document.attempt}, lost {document.lost}, by {document.worker})"


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


def _differences(bodies: Mapping[bytes, str]) -> str:
    """The members in which they differ, and where each was seen."""
    shown = [(where, orjson.loads(body)) for body, where in bodies.items()]
    names = sorted({name for _, job in shown for name in job if any(job[name] != each.get(name) for _, each in shown)})
    return "; ".join(f"{where}: { {name: job.get(name) for name in names} }" for where, job in shown)
