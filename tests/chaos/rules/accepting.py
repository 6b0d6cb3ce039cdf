"""What was accepted happens, once, and nothing else does. Run by `checker`, with all of `RULES`."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from shared.models.job import Job
from tests.chaos.effects import starts
from tests.chaos.evidence import Evidence
from tests.chaos.history import Act, Fail
from tests.chaos.rules.violation import Violation


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


def settled(document: Job) -> bool:
    """Over, and no message of it is still to come: a tombstone gets what was asked for from that."""
    return document.status.terminal and document.spec.known


def possible_jobs(evidence: Evidence) -> Counter[str]:
    """By work, how many jobs the requests for it may have made: one for all that had a key."""
    possible = Counter(
        call.work for call in evidence.history.calls if call.act is Act.SUBMIT and not isinstance(call.outcome, Fail)
    )
    return Counter({work: 1 if evidence.asked[work].keyed else times for work, times in possible.items()})


def _state(document: Job | None) -> str:
    if document is None:
        return "not in the store"
    return f"{document.status} (attempt {document.attempt}, lost {document.lost}, by {document.worker})"
