"""What the worker asks of the engine, and what it hears while a task runs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from shared.models.handler import HandlerEntry
from shared.values import value

RunIn = Literal["loop", "thread", "process"]
"""Where a handler asks to run. Tasks that run `alone` take the slots of "process" whatever their handler asks for."""


@value(frozen=True, slots=True)
class Task:
    """One attempt of one job."""

    run_id: str
    """Names this run in `Engine.cancel`; unique among those that run. A claim's fence will do."""
    job_id: str
    handler: str
    input: bytes
    """JSON."""
    attempt: int
    max_attempts: int
    fence: str
    deadline_at: int
    """What the handler reads as its deadline, in milliseconds since the epoch. Only told: see `timeout_seconds`."""
    timeout_seconds: float
    """When the attempt is given up, counted on a monotonic clock from the moment when a runner gets the task: neither
    waiting for a runner nor a clock that is wrong takes any of it."""
    alone: bool = False
    """Run it in a process of its own, killed when its time is over: for jobs that are suspected of killing theirs."""


class Counts(NamedTuple):
    """How the items of a batch have ended, as its reducer is told."""

    total: int
    succeeded: int
    failed: int
    canceled: int
    expired: int


@value(frozen=True, slots=True)
class ItemOutput:
    """What an item of a batch has returned."""

    index: int
    """Its place in the batch."""
    id: str
    data: bytes
    """JSON."""


Page = Sequence[ItemOutput]
Answer = Callable[[Page], None]


class OutputFeed(Protocol):
    """Where the task of a reducer has its outputs from, page by page. See `services.worker.feed`."""

    @property
    def counts(self) -> Counts: ...

    def ask(self, start: int, answer: Answer, /) -> None:
        """Have `answer` called with a page, in the worker's loop: the outputs from place `start` among those that there
        are, at least one. Returns at once. Raises Garbled for what no runner asks.
        """
        ...


@value(frozen=True, slots=True)
class Progress:
    """How far a job is, in the handler's own units."""

    done: float
    total: float | None
    message: str


@value(frozen=True, slots=True)
class Report:
    """What a handler told since its last report. Reports of one task come in order, and none after its outcome."""

    progress: Progress | None
    """The newest; None when there is nothing new. At most two a second, and the last one always comes."""
    chunks: tuple[bytes, ...]
    """Emitted pieces of output, JSON, at most 64 KiB each."""
    dropped: int
    """Chunks older than these that gave way because too many gathered."""


OnReport = Callable[[Report], None]
"""Called in the worker's loop. Returns at once."""


@value(frozen=True, slots=True)
class LoadedHandler:
    """A handler that this worker can run: what is announced of it, and where it runs."""

    entry: HandlerEntry
    run_in: RunIn


Catalogue = Mapping[str, LoadedHandler]
"""By the handler's name."""
