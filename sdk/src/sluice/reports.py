"""What a running handler reports on its way, and where reports wait until the worker takes them.

Two sides share the work. A report must cost the handler almost nothing, so its side only checks, renders and puts down:
`JobContext` calls a `Reporter`, which may not wait and need not deliver. The worker's side owns the rate: it takes what
has gathered when it is ready to send. Between two takes only the newest progress counts, and chunks are bounded, the
oldest going first, because a client that follows late wants what is happening now. Reports are never the result: losing
some loses no truth.

`ReportBuffer` is that hand-over point for a handler in the loop, in a thread (it is safe between threads), and in a
child process, where a thread of the child takes from it and writes to the pipe.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

MAX_CHUNKS = 1_024
MAX_CHUNK_BYTES = 65_536
MAX_BUFFERED_BYTES = 4 * 1_048_576


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is, in the handler's own units."""

    done: float
    total: float | None = None
    """None: the handler does not know how much there is."""
    message: str = ""


class Reporter(Protocol):
    """Where a `JobContext` puts reports. Both methods return at once, do no I/O and may be called from any thread."""

    def progress(self, progress: Progress, /) -> None:
        """Replaces the progress not yet taken."""
        ...

    def emit(self, chunk: bytes, /) -> None:
        """Queues one chunk: JSON, UTF-8, at most `MAX_CHUNK_BYTES`."""
        ...


@dataclass(frozen=True, slots=True)
class Reports:
    """What gathered since the last take."""

    progress: Progress | None = None
    chunks: tuple[bytes, ...] = ()
    dropped: int = 0
    """Chunks that were older than these and gave way."""


class ReportBuffer:
    """A bounded `Reporter`: the newest progress, the newest chunks.

    `on_first` is called, in the reporting thread, when the empty buffer gets its first report, so that the worker can
    plan its next take without polling.
    """

    def __init__(
        self,
        on_first: Callable[[], None] = lambda: None,
        *,
        max_chunks: int = MAX_CHUNKS,
        max_bytes: int = MAX_BUFFERED_BYTES,
    ) -> None:
        self._on_first = on_first
        self._max_chunks = max_chunks
        self._max_bytes = max_bytes
        self._lock = Lock()
        self._progress: Progress | None = None
        self._chunks: deque[bytes] = deque()
        self._bytes = 0
        self._dropped = 0

    def progress(self, progress: Progress, /) -> None:
        with self._lock:
            first = self._empty
            self._progress = progress
        if first:
            self._on_first()

    def emit(self, chunk: bytes, /) -> None:
        with self._lock:
            first = self._empty
            self._chunks.append(chunk)
            self._bytes += len(chunk)
            self._shed()
        if first:
            self._on_first()

    def take(self) -> Reports:
        """Everything that gathered; the buffer is empty afterwards."""
        with self._lock:
            taken = Reports(self._progress, tuple(self._chunks), self._dropped)
            self._progress = None
            self._chunks.clear()
            self._bytes = self._dropped = 0
        return taken

    @property
    def _empty(self) -> bool:
        return self._progress is None and not self._chunks and not self._dropped

    def _shed(self) -> None:
        while len(self._chunks) > self._max_chunks or self._bytes > self._max_bytes:
            self._bytes -= len(self._chunks.popleft())
            self._dropped += 1
