"""What runs does so for a reason, its effects happen once, and it ends when it is told to. Run by `checker`."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.chaos.effects import Effect, What, starts
from tests.chaos.evidence import Evidence
from tests.chaos.rules.accepting import possible_jobs
from tests.chaos.rules.violation import Violation
from tests.chaos.starts import late, restarts, unexplained


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


def further_starts_have_a_cause(evidence: Evidence) -> Iterator[Violation]:
    """R8, R9: a job starts again because something happened to the run before, and never once it has ended."""
    again = restarts(evidence)
    for restart in late(evidence, again):
        yield Violation("R9", restart.job, f"it started again after the run that ended it: {restart.start}")
    for restart in unexplained(again):
        seconds = restart.start.at - restart.before.at
        yield Violation("R8", restart.job, f"it started again after {seconds:.2f} s without a cause: {restart.before}")


def processes_end_when_told(evidence: Evidence) -> Iterator[Violation]:
    """R14: nobody has to kill them."""
    for name in evidence.damage.overdue:
        yield Violation("R14", name, "it was told to end, and had to be killed")


def fenced(evidence: Evidence) -> dict[str, list[Effect]]:
    """By work, the runs whose effects a fence lets through: they returned under the one that their job ended with."""
    let_through: dict[str, list[Effect]] = defaultdict(list)
    for effect in evidence.effects:
        document = evidence.documents.get(effect.job)
        if effect.what is What.RETURN and document is not None and document.fence == effect.fence:
            let_through[effect.work].append(effect)
    return let_through
