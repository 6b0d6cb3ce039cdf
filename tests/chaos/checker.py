"""Decides whether Sluice kept its word in a run, from what everybody saw of it (`evidence`). Pure.

Three verdicts: sound, broken (with every violation found), and *unknown*: a run in which no job succeeded shows
nothing, and must not pass for a success.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shared.models.job import JobStatus
from tests.chaos.effects import What
from tests.chaos.evidence import Evidence
from tests.chaos.history import Act, Fail, Info, Ok
from tests.chaos.rules import RULES
from tests.chaos.rules.accepting import (
    a_request_is_one_job,
    accepted_jobs_are_over,
    started_jobs_are_over,
    what_was_refused_never_runs,
)
from tests.chaos.rules.running import a_fence_is_for_one_run, effects_happen_once, fenced
from tests.chaos.rules.violation import Rule, Violation
from tests.chaos.starts import Cause, Restart, restarts

LOSSES: Final = (accepted_jobs_are_over, started_jobs_are_over)
SURPRISES: Final = (what_was_refused_never_runs, a_request_is_one_job)
DUPLICATES: Final = (effects_happen_once, a_fence_is_for_one_run)
_SHOWN: Final = 25


@dataclass(frozen=True, slots=True)
class Counts:
    """submitted: requests for jobs. accepted: jobs answered. unknown: submits of which nobody learnt the fate.
    lost: jobs that are not over. unexpected: jobs and runs that nobody had asked for. duplicates: pieces of work whose
    fenced effect happened more than once. fenced_off: runs that returned and whose effect a fence does not let through.
    restarts: starts beyond each job's first, by what caused them.
    stale: answers older than what the same client had seen but had not said that it had.
    """

    submitted: int
    accepted: int
    refused: int
    unknown: int
    ends: Counter[str]
    lost: int
    unexpected: int
    duplicates: int
    fenced_off: int
    starts: int
    restarts: Counter[str]
    stale: int
    slowest_call: float

    @property
    def succeeded(self) -> int:
        return self.ends[JobStatus.SUCCEEDED]


@dataclass(frozen=True, slots=True)
class Verdict:
    violations: Sequence[Violation]
    counts: Counts
    takeovers: Sequence[float]
    """Seconds from the death of a worker to the next start of each job that it ran, in order."""

    @property
    def unknown(self) -> bool:
        return self.counts.succeeded == 0

    def broken(self, rule: str) -> bool:
        """Whether that promise was seen broken."""
        return any(violation.rule == rule for violation in self.violations)

    def require_sound(self) -> None:
        """Raises AssertionError unless every promise was kept, and there was something to keep."""
        if self.violations:
            shown = "\n".join(map(str, self.violations[:_SHOWN]))
            raise AssertionError(f"{len(self.violations)} violations:\n{shown}\n{self.counts}")
        if self.unknown:
            raise AssertionError(f"inconclusive: no job succeeded, so nothing was shown\n{self.counts}")


def judge(evidence: Evidence) -> Verdict:
    found = {rule: list(rule(evidence)) for rule in RULES}
    again = restarts(evidence)
    violations = [violation for each in found.values() for violation in each]
    return Verdict(violations, _counts(evidence, found, again), _takeovers(again))


def _counts(evidence: Evidence, found: Mapping[Rule, Sequence[Violation]], again: Sequence[Restart]) -> Counts:
    submits = [call.outcome for call in evidence.history.calls if call.act is Act.SUBMIT]
    begun = Counter(effect.what for effect in evidence.effects)
    return Counts(
        submitted=len(submits),
        accepted=len(evidence.history.accepted()),
        refused=sum(isinstance(outcome, Fail) for outcome in submits),
        unknown=sum(isinstance(outcome, Info) for outcome in submits),
        ends=Counter(str(job.status) for job in evidence.documents.values() if job.status.terminal),
        lost=sum(len(found[rule]) for rule in LOSSES),
        unexpected=sum(len(found[rule]) for rule in SURPRISES),
        duplicates=sum(len(found[rule]) for rule in DUPLICATES),
        fenced_off=begun[What.RETURN] - sum(map(len, fenced(evidence).values())),
        starts=begun[What.START],
        restarts=Counter(str(restart.cause) for restart in again),
        stale=_stale(evidence),
        slowest_call=max((call.seconds for call in evidence.history.calls), default=0.0),
    )


def _stale(evidence: Evidence) -> int:
    newest: dict[tuple[int, str], int] = {}
    stale = 0
    for call, ok in evidence.history.answers():
        seen = newest.get((call.client, ok.job), 0)
        stale += isinstance(call.outcome, Ok) and ok.order < seen
        newest[call.client, ok.job] = max(seen, ok.order)
    return stale


def _takeovers(again: Sequence[Restart]) -> list[float]:
    return sorted(
        restart.taken_over for restart in again if restart.cause is Cause.KILL and restart.taken_over is not None
    )
