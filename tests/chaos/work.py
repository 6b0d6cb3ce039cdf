"""What is asked of a chaos system, and how each piece must end whatever happens on the way. Pure.

`draw` makes a mix for storms from a seed; tests of one behaviour name their pieces themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final

from shared.models.job import ErrorCode, JobStatus


@dataclass(frozen=True, slots=True)
class End:
    """How a job must end. attempts: codes that its failed attempts may have."""

    status: JobStatus
    code: ErrorCode | None = None
    attempts: frozenset[ErrorCode] = frozenset()
    kills: bool = False
    """It takes what it runs in with it, and so its neighbours there."""


SUCCESS: Final = End(JobStatus.SUCCEEDED)
AFTER_RETRIES: Final = End(JobStatus.SUCCEEDED, attempts=frozenset({ErrorCode.HANDLER_ERROR}))
REJECTION: Final = End(JobStatus.FAILED, ErrorCode.REJECTED, frozenset({ErrorCode.REJECTED}))
LOSS: Final = End(JobStatus.FAILED, ErrorCode.WORKER_LOST, frozenset({ErrorCode.WORKER_LOST}), kills=True)
TIMEOUT: Final = End(JobStatus.FAILED, ErrorCode.ATTEMPTS_EXHAUSTED, frozenset({ErrorCode.ATTEMPT_TIMEOUT}))
BLOCKED: Final = replace(TIMEOUT, kills=True)
"""It holds up all that runs beside it, until that is ended with it."""
TOO_LARGE: Final = End(JobStatus.FAILED, ErrorCode.OUTPUT_TOO_LARGE, frozenset({ErrorCode.OUTPUT_TOO_LARGE}))
EXPIRY: Final = End(JobStatus.EXPIRED)


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing to be done.

    work: its key; what is sent with an Idempotency-Key has it there too.
    task: further fields of the handler's input. options: of the request.
    canceled: its client cancels it once it is accepted; then it may end as canceled too.
    """

    work: str
    end: End = SUCCESS
    handler: str = "chaos.work"
    task: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    keyed: bool = False
    canceled: bool = False

    @property
    def body(self) -> dict[str, Any]:
        """Of `POST /v1/jobs`."""
        return {"handler": self.handler, "input": {"work": self.work, **self.task}, **self.options}


_KINDS: Final[Sequence[tuple[int, End, str, dict[str, Any]]]] = (
    (66, SUCCESS, "chaos.work", {}),
    (8, AFTER_RETRIES, "chaos.work", {"failures": 1}),
    (2, AFTER_RETRIES, "chaos.work", {"failures": 2}),
    (4, REJECTION, "chaos.work", {"reject": True}),
    (12, SUCCESS, "chaos.thread", {}),
    (8, SUCCESS, "chaos.process", {}),
)
_LONGEST_SECONDS: Final = {"chaos.work": 1.5, "chaos.thread": 0.4, "chaos.process": 0.05}


_DELAYED: Final = 0.05
_CANCELED: Final = 0.04


def draw(rng: Random, count: int, *, tag: str, deadly: int = 0, cancels: bool = False) -> list[Piece]:
    """A mix of pieces: mostly short, some long, delayed, failing; `deadly` of them kill what they run in.

    tag: begins each one's name. cancels: some are canceled by their clients.
    """
    pieces = [_draw_one(rng, f"{tag}{number}", cancels) for number in range(count - deadly)]
    for number in range(deadly):
        handler = ("chaos.deadly", "chaos.deadly_thread")[number % 2]
        pieces.insert(rng.randrange(len(pieces) + 1), Piece(f"{tag}deadly-{number}", LOSS, handler))
    return pieces


def _draw_one(rng: Random, work: str, cancels: bool) -> Piece:
    (_, end, handler, task) = rng.choices(_KINDS, weights=[kind[0] for kind in _KINDS])[0]
    seconds = rng.random() ** 4 * _LONGEST_SECONDS[handler]  # most are short
    options = {"delay_seconds": round(rng.uniform(0.2, 3.0), 2)} if rng.random() < _DELAYED else {}
    keyed, canceled = rng.random() < 0.4, rng.random() < _CANCELED and cancels
    return Piece(work, end, handler, {**task, "seconds": round(seconds, 3)}, options, keyed=keyed, canceled=canceled)
