"""What clients asked and were told: one record a call, written when it begins and settled when it ends.

The distinction that everything rests on: `Ok` (the answer came), `Fail` (it is certain that nothing was done) and
`Info` (nobody knows). A time-out, a reset connection and a 503 that says "unknown" are `Info`, never `Fail`; so is a
call that was still open when the run ended.

Written by `clients`, judged by `checker`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from time import time
from typing import Final

import orjson


class Act(StrEnum):
    SUBMIT = "submit"
    READ = "read"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Ok:
    """The job, as the answer showed it."""

    status: int
    """Of HTTP."""
    job: str
    order: int
    """By the ETag."""
    state: str
    """The job's status; empty for a 304, which has no body."""
    body: bytes
    """Kept of terminal states only."""
    replayed: bool = False

    @property
    def terminal(self) -> bool:
        return bool(self.body)


@dataclass(frozen=True, slots=True)
class Fail:
    """Nothing was done. status: of HTTP; 0 where the request never left."""

    status: int
    why: str


@dataclass(frozen=True, slots=True)
class Info:
    """It may have been done. status: as for Fail; 0 where no answer came."""

    status: int
    why: str


Outcome = Ok | Fail | Info

_OPEN: Final = Info(0, "still open at the end")


@dataclass(slots=True)
class Call:
    """client: who asked; one client's calls follow each other.
    work: the key of what was asked for. job: of a read or a cancel.
    keyed: sent with an Idempotency-Key, which is `work`.
    known: the order that the client presented as the one it has; 0 for none.
    """

    client: int
    act: Act
    work: str
    invoked_at: float
    job: str = ""
    keyed: bool = False
    known: int = 0
    outcome: Outcome = _OPEN
    ended_at: float | None = None

    def end(self, outcome: Outcome) -> Outcome:
        self.outcome, self.ended_at = outcome, time()
        return outcome

    @property
    def seconds(self) -> float:
        """What it took; 0 while it is open."""
        return 0.0 if self.ended_at is None else self.ended_at - self.invoked_at


@dataclass(slots=True)
class History:
    """All calls of a run, in the order of their beginning. Times are seconds since the epoch."""

    calls: list[Call] = field(default_factory=list)

    def invoke(self, client: int, act: Act, work: str, *, job: str = "", keyed: bool = False, known: int = 0) -> Call:
        """Log the beginning of a call; whoever makes it ends it."""
        call = Call(client, act, work, time(), job=job, keyed=keyed, known=known)
        self.calls.append(call)
        return call

    def accepted(self) -> dict[str, str]:
        """The jobs that clients were told of when they submitted, and for which work."""
        return {
            call.outcome.job: call.work
            for call in self.calls
            if call.act is Act.SUBMIT and isinstance(call.outcome, Ok) and call.outcome.job
        }

    def canceled(self) -> set[str]:
        """The jobs whose cancel may have been carried out."""
        return {call.job for call in self.calls if call.act is Act.CANCEL and not isinstance(call.outcome, Fail)}

    def answers(self) -> Iterator[tuple[Call, Ok]]:
        for call in self.calls:
            if isinstance(call.outcome, Ok):
                yield call, call.outcome

    def dump(self, path: Path) -> None:
        """Write it as a line of JSON a call, for whoever looks into a failure."""
        path.write_bytes(b"\n".join(_lines(self.calls)))


def _lines(calls: Sequence[Call]) -> Iterator[bytes]:
    for call in calls:
        outcome = call.outcome
        described = {name: getattr(outcome, name) for name in outcome.__slots__ if name != "body"}
        yield orjson.dumps(
            {
                "at": round(call.invoked_at, 3),
                "seconds": round(call.seconds, 3),
                "client": call.client,
                "act": call.act,
                "work": call.work,
                "asked": call.job,
                "known": call.known,
                type(outcome).__name__.lower(): described,
            }
        )
