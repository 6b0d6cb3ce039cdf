"""What an aggregator counts, and its lines: of windows, of batches that end, of looks for the missing."""

import logging
from dataclasses import asdict

from services.aggregator.fan_in import Heard
from shared.clock import MILLISECONDS, Clock
from shared.models.batch import Batch
from shared.telemetry.logs import tell
from shared.telemetry.metrics import (
    AGGREGATOR_EVENTS,
    AGGREGATOR_SETTLED,
    AGGREGATOR_WRITES,
    BATCH_DURATION,
    BATCHES_ENDED,
    Metrics,
)

_log = logging.getLogger("sluice.aggregator")


class Measures:
    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._clock = clock
        events = metrics.counter(AGGREGATOR_EVENTS)
        self.handled, self.postponed, self.malformed = map(events.labels, ("handled", "postponed", "malformed"))
        self._writes = metrics.counter(AGGREGATOR_WRITES)
        self._found, self._closed = map(metrics.counter(AGGREGATOR_SETTLED).labels, ("found", "ended"))
        self._ended = metrics.counter(BATCHES_ENDED)
        self._duration = metrics.histogram(BATCH_DURATION)

    def merged(self, batch: Batch, heard: Heard, *, wrote: bool) -> None:
        """A window was merged into its batch."""
        self._writes.labels("batch" if wrote else "unchanged").inc()
        if wrote:
            counts = asdict(batch.counts)
            told = {"started": len(heard.started), "ended": sum(map(len, heard.ended.values()))}
            tell(_log, "window", {**_whose(batch), **counts, **told, "revision": batch.revision})

    def over(self, batch: Batch) -> None:
        """The batch's end was told."""
        seconds = ((batch.finished_at or 0) - batch.spec.created_at) / MILLISECONDS
        self._ended.labels(str(batch.status)).inc()
        self._duration.observe(max(0.0, seconds))
        counts = asdict(batch.counts)
        tell(_log, "batch", {**_whose(batch), **counts, "handler": batch.spec.handler, "seconds": round(seconds, 3)})

    def wrote_statistics(self, documents: int) -> None:
        self._writes.labels("statistics").inc(documents)

    def settled(self, batch: Batch, why: str, *, looked_at: int, found: int, ended: int) -> None:
        """Items that had not reported were looked at. ended: those that were over only through that look."""
        self._found.inc(found)
        self._closed.inc(ended)
        tell(_log, "settled", {**_whose(batch), "why": why, "looked_at": looked_at, "found": found, "ended": ended})


def _whose(batch: Batch) -> dict[str, str]:
    return {"batch": batch.spec.id, "tenant": batch.spec.tenant, "status": str(batch.status)}
