"""What is shown of a job: never less than before, and of a finished one the same for ever. Run by `checker`."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import orjson

from shared.models.public import render
from tests.chaos.evidence import Evidence
from tests.chaos.history import Ok
from tests.chaos.rules.violation import Violation


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


def states_never_go_back(evidence: Evidence) -> Iterator[Violation]:
    """R23: who says which state it has seen is never shown an older one."""
    for call, ok in evidence.history.answers():
        if ok.order < call.known:
            yield Violation("R23", ok.job, f"client {call.client} had {call.known:x} and was shown {ok.order:x}")


def nothing_fails_inside(evidence: Evidence) -> Iterator[Violation]:
    """R22: an answer of 500 is never right."""
    for call in evidence.history.calls:
        if not isinstance(call.outcome, Ok) and call.outcome.status == 500:
            yield Violation("R22", call.job or call.work, f"{call.act} was answered with 500")


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


def _differences(bodies: Mapping[bytes, str]) -> str:
    """The members in which they differ, and where each was seen."""
    shown = [(where, orjson.loads(body)) for body, where in bodies.items()]
    names = sorted({name for _, job in shown for name in job if any(job[name] != each.get(name) for _, each in shown)})
    return "; ".join(f"{where}: { {name: job.get(name) for name in names} }" for where, job in shown)
