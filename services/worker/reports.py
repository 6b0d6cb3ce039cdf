"""What handlers report, on its way to clients: gathered for each job, and sent twice a second at most.

The engine calls `Following.hear`, which only puts down. One task sends for all jobs. What gathers is bounded: of the
progress only the newest counts, and of the chunks the oldest give way, counted, so that who follows learns of the gap.
Nothing here is the result: with Redis lost, reports are dropped.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Self

import orjson

from services.worker.execution import task
from shared.cache.contract import Report, ReportKind, StreamWriter
from shared.cache.lifetimes import STREAM_REPORTS
from shared.clock import Clock
from shared.errors import CacheUnavailable, Overloaded
from shared.models.job import Job

TICK_SECONDS = 0.1
EVERY_SECONDS = 0.5
MAX_BYTES = 1_024 * 1_024
"""Of the chunks of one job that wait for their turn."""

_log = logging.getLogger("sluice.worker")


class Following:
    """The reports of one claimed job, which is followed for as long as the block lasts. Made by `Reports`."""

    def __init__(self, job: Job, followed: "set[Following]") -> None:
        self._followed = followed
        self.id = job.spec.id
        self.turn = job.order
        self.send_at = 0.0
        self._attempt = job.attempt
        self._progress: bytes | None = None
        self._chunks: deque[bytes] = deque()
        self._bytes = 0
        self._dropped = 0

    def __enter__(self) -> Self:
        self._followed.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._followed.discard(self)

    def hear(self, report: task.Report) -> None:
        """Put down what the handler said."""
        self._dropped += report.dropped
        if report.progress is not None:
            said = report.progress
            self._progress = orjson.dumps({"done": said.done, "total": said.total, "message": said.message})
        for chunk in report.chunks:
            self._chunks.append(chunk)
            self._bytes += len(chunk)
        while len(self._chunks) >= STREAM_REPORTS or self._bytes > MAX_BYTES:
            self._bytes -= len(self._chunks.popleft())
            self._dropped += 1

    @property
    def waiting(self) -> bool:
        """Whether there is something to send."""
        return self._progress is not None or bool(self._chunks)

    def take(self) -> tuple[Sequence[Report], int]:
        """What gathered, chunks first, and how many were dropped before it."""
        reports = [Report(ReportKind.OUTPUT, self._attempt, chunk) for chunk in self._chunks]
        if self._progress is not None:
            reports.append(Report(ReportKind.PROGRESS, self._attempt, self._progress))
        dropped = self._dropped
        self._progress, self._bytes, self._dropped = None, 0, 0
        self._chunks.clear()
        return reports, dropped

    def lost(self, count: int) -> None:
        """So many that were taken may never have arrived."""
        self._dropped += count


class Reports:
    """Of all jobs of this worker. `run` must be running."""

    def __init__(self, streams: StreamWriter, clock: Clock) -> None:
        self._streams = streams
        self._clock = clock
        self._followed: set[Following] = set()

    def of(self, job: Job) -> Following:
        """To follow a claimed job, as a context manager."""
        return Following(job, self._followed)

    async def flush(self, following: Following) -> None:
        """Send what waits. A job's end is written only after this, so that whoever follows hears everything before it.

        Never raises for a lost Redis.
        """
        if following.waiting:
            await self._send(following)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._clock.sleep(TICK_SECONDS)
            now = self._clock.monotonic()
            due = [each for each in self._followed if each.waiting and each.send_at <= now]
            for each in due:
                each.send_at = now + EVERY_SECONDS
            await asyncio.gather(*map(self._send, due))

    async def _send(self, following: Following) -> None:
        reports, dropped = following.take()
        try:
            await self._streams.append(following.id, reports, turn=following.turn, dropped=dropped)
        except (CacheUnavailable, Overloaded) as fault:
            following.lost(len(reports) + dropped)
            _log.debug("reports were lost", extra={"job": following.id, "fault": type(fault).__name__})
