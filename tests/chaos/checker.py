"""Decides whether Sluice kept its word in a run, from what everybody saw of it (`evidence`). Pure.

Three verdicts: sound, broken (with every violation found), and *unknown*: a run in which no job succeeded shows
nothing, and must not pass for a success.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from shared.models.job import JobStatus
from tests.chaos.evidence import Evidence
from tests.chaos.history import Act, Fail, Info, Ok
from tests.chaos.rules import RULES, Violation
from tests.chaos.starts import Cause, Restart, restarts

_SHOWN = 25


@dataclass(frozen=True, slots=True)
class Counts:
    """submitted: requests for jobs. accepted: jobs answered. unknown: submits of which nobody learnt the fate.
    stale: answers older than what the same client had seen but had not said that it had.
    """

    submitted: int
    accepted: int
    refused: int
    unknown: int
    succeeded: int
    ended_otherwise: int
    starts: int
    restarts: Counter[str]
    stale: int
    slowest_call: float


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
    violations = [violation for rule in RULES for violation in rule(evidence)]
    again = restarts(evidence)
    return Verdict(violations, _counts(evidence, again), _takeovers(again))


def _counts(evidence: Evidence, again: Sequence[Restart]) -> Counts:
    submits = [call.outcome for call in evidence.history.calls if call.act is Act.SUBMIT]
    ends = Counter(document.status for document in evidence.documents.values() if document.status.terminal)
    return Counts(
        submitted=len(submits),
        accepted=len(evidence.history.accepted()),
        refused=sum(isinstance(outcome, Fail) for outcome in submits),
        unknown=sum(isinstance(outcome, Info) for outcome in submits),
        succeeded=ends[JobStatus.SUCCEEDED],
        ended_otherwise=ends.total() - ends[JobStatus.SUCCEEDED],
        starts=sum(effect.what == "start" for effect in evidence.effects),
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
