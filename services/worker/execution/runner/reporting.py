"""Carries an attempt's reports to the worker: without making the handler wait, and no faster than anyone can look.

The handler puts reports into a `ReportBuffer`, from any thread. A `Pump` takes what has gathered: chunks within 50 ms,
progress at most twice a second, and all that is left before the outcome is sent. While the connection is congested
nothing is taken, so the buffer, which is bounded, lets go of its oldest chunks and counts them.
"""

import asyncio
from collections.abc import Callable, Iterator

from services.worker.execution.messages import Reported
from services.worker.execution.task import Progress, Report
from sluice import reports

CHUNKS_EVERY = 0.05
PROGRESS_EVERY = 0.5
BATCH_BYTES = 192 * 1_024
"""Of chunks in one message; with one more of the largest size it stays below the limit of messages."""


class Pump:
    """Of one attempt. Everything but `buffer` belongs to the loop.

    send: writes a message; it does not wait.
    congested: whether the connection has more to write than it should.
    """

    def __init__(self, number: int, send: Callable[[Reported], None], congested: Callable[[], bool]) -> None:
        self._number = number
        self._send = send
        self._congested = congested
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._progress: Progress | None = None
        self._progress_at = self._chunks_at = -PROGRESS_EVERY
        self._over = False
        self.buffer = reports.ReportBuffer(self._wake)

    def finish(self) -> None:
        """Send what is left. Reports that come later, from a thread that goes on, are dropped."""
        self._over = True
        self._disarm()
        self._take(self._loop.time(), last=True)

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._arm)

    def _arm(self) -> None:
        if not self._over:
            self._disarm()
            self._timer = self._loop.call_at(self._chunks_at + CHUNKS_EVERY, self._pump)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pump(self) -> None:
        now = self._loop.time()
        if self._congested():
            self._timer = self._loop.call_at(now + CHUNKS_EVERY, self._pump)
            return
        self._take(now, last=False)
        if self._progress is not None:
            self._timer = self._loop.call_at(self._progress_at + PROGRESS_EVERY, self._pump)

    def _take(self, now: float, *, last: bool) -> None:
        taken = self.buffer.take()
        self._chunks_at = now
        if taken.progress is not None:
            self._progress = Progress(taken.progress.done, taken.progress.total, taken.progress.message)
        progress = None
        if last or now >= self._progress_at + PROGRESS_EVERY:
            progress, self._progress = self._progress, None
        if progress is not None:
            self._progress_at = now
        for report in _reports(progress, taken.chunks, taken.dropped):
            self._send(Reported(self._number, report))


def _reports(progress: Progress | None, chunks: tuple[bytes, ...], dropped: int) -> Iterator[Report]:
    """As many as it takes to keep each within a message."""
    batch: list[bytes] = []
    size = 0
    for chunk in chunks:
        batch.append(chunk)
        size += len(chunk)
        if size >= BATCH_BYTES:
            yield Report(progress, tuple(batch), dropped)
            batch, size, progress, dropped = [], 0, None, 0
    if batch or dropped or progress is not None:
        yield Report(progress, tuple(batch), dropped)
