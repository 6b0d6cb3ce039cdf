"""A batch: what was asked of many items at once (`BatchSpec`, never changes) and what became of them (`Batch`).

    open ──▶ running ──▶ completed | canceled | expired

An open batch is being uploaded. Sealing it says how many items it has, and makes it running. What is known of the items
is a set for each outcome (`batch_items`), which reports are merged into. Whether the batch is over is decided from this
value alone (`end`).

The gateway opens, seals and asks for a cancel; the aggregator does everything else. Both write by precondition and
merge again what they meet. `batches/{id}/chunks/{n}` remembers each part of an upload, so that the same upload
sent again is recognised.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Self

from shared.models import bitmap
from shared.models.batch_items import Counts, Items
from shared.models.job import MESSAGES_LAST_MS, JobError, JobSpec, JobStatus, Lane, Retention
from shared.models.webhook import JobWebhook

CHUNK_ITEMS: Final = 1_000
CHUNK_BYTES: Final = 2_000_000
"""A chunk ends with the item that makes it so large, or so many; the last of a batch ends with the batch. Part of what
a stored hash means: never to be changed."""
MAX_ITEMS: Final = 100_000
REDUCE_LIFETIME_MS: Final = 4 * 3_600_000
"""A reduction can only begin when the items are over, so it may live on for so long behind their deadline."""
DEADLINE_GRACE_MS: Final = 30_000
"""Behind the deadline, before what has not reported is looked for: what ended in time may still be telling."""


class BatchStatus(StrEnum):
    OPEN = "open"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def terminal(self) -> bool:
        return self in _TERMINAL


_TERMINAL = frozenset({BatchStatus.COMPLETED, BatchStatus.CANCELED, BatchStatus.EXPIRED})

_RANK = {BatchStatus.OPEN: 1, BatchStatus.RUNNING: 3} | dict.fromkeys(_TERMINAL, 4)
"""Never 2, which is a running job's: nothing takes a batch for one that makes progress."""


@dataclass(frozen=True, slots=True)
class ReduceSpec:
    """The job that makes one answer of the items' outputs, as far as it is known before its batch's items are over."""

    handler: str
    queue: str
    options: bytes
    """JSON object: what was asked beside the handler. It is the input of the job."""
    timeout_seconds: float
    max_attempts: int


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """What was asked for, with every default resolved. Times are milliseconds since the epoch."""

    id: str
    tenant: str
    handler: str
    queue: str
    created_at: int
    expires_at: int
    """Past this moment no item starts."""
    timeout_seconds: float
    """Of an item's attempt."""
    max_attempts: int
    """Of an item."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """The items have them too."""
    webhook: JobWebhook | None = None
    """Hears of the batch, not of its items."""
    reduce: ReduceSpec | None = None
    traceparent: str | None = None

    @property
    def lifetime_ms(self) -> int:
        """For the batch's id, and so its items': the reduction included."""
        return self.expires_at - self.created_at + (REDUCE_LIFETIME_MS if self.reduce else 0)

    def item(self, id: str, index: int, input: bytes) -> JobSpec:
        """The job of an item. id: see `Ids.item`."""
        return JobSpec(
            id=id,
            tenant=self.tenant,
            handler=self.handler,
            queue=self.queue,
            input=input,
            created_at=self.created_at,
            expires_at=self.expires_at,
            timeout_seconds=self.timeout_seconds,
            max_attempts=self.max_attempts,
            lane=Lane.BULK,
            labels=self.labels,
            batch=self.id,
            index=index,
            traceparent=self.traceparent,
        )

    def reduction(self, id: str) -> JobSpec:
        """The job of the reduction: the only one of a batch without an index. id: see `Ids.reduction`."""
        assert self.reduce is not None
        return JobSpec(
            id=id,
            tenant=self.tenant,
            handler=self.reduce.handler,
            queue=self.reduce.queue,
            input=self.reduce.options,
            created_at=self.created_at,
            expires_at=self.expires_at + REDUCE_LIFETIME_MS,
            timeout_seconds=self.reduce.timeout_seconds,
            max_attempts=self.reduce.max_attempts,
            lane=Lane.BULK,
            labels=self.labels,
            batch=self.id,
            traceparent=self.traceparent,
        )


@dataclass(frozen=True, slots=True)
class Reduction:
    """What became of the reduction."""

    job: str
    """The id of its job; the same each time it is published."""
    status: JobStatus = JobStatus.QUEUED
    output: bytes | None = None
    """JSON."""
    error: JobError | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """One state of a batch."""

    spec: BatchSpec
    status: BatchStatus = BatchStatus.OPEN
    total: int = 0
    """Items; while the batch is open, those that are known to have been accepted."""
    items: Items = Items()
    reduction: Reduction | None = None
    """Since the reduction was published."""
    sealed_at: int | None = None
    finished_at: int | None = None
    cancel_requested_at: int | None = None
    deleted_at: int | None = None
    """Since then this is a stub."""
    revision: int = 0
    """Grows with each write."""

    @property
    def order(self) -> int:
        """Grows with every state, as a job's does. The last bit: nothing of this is going to change."""
        return self.revision << 12 | _RANK[self.status] << 8 | self.status.terminal

    @property
    def counts(self) -> Counts:
        return self.items.counts(self.shown_total)

    @property
    def shown_total(self) -> int:
        """An open batch may hear of items before the upload says that it has them."""
        return self.total if self.sealed_at is not None else max(self.total, self.items.least)

    @property
    def missing(self) -> int:
        """The set of the items of which no outcome is known. Of an open batch: of those that are known at all."""
        return bitmap.full(self.shown_total) & ~self.items.over

    @property
    def settled(self) -> bool:
        """Whether every item is over, and it is known how many there are."""
        return self.sealed_at is not None and not self.missing

    @property
    def wants_reduction(self) -> bool:
        """Whether its reduction is to be published, or has been and has no outcome yet."""
        running = self.reduction is None or not self.reduction.status.terminal
        return (
            not self.status.terminal
            and self.settled
            and self.spec.reduce is not None
            and running
            and self._fate() is BatchStatus.COMPLETED
        )

    def end(self) -> BatchStatus | None:
        """The terminal status that it has come to, from what it says of itself alone; None while it is not over."""
        if self.status.terminal:
            return self.status
        return None if not self.settled or self.wants_reduction else self._fate()

    def _fate(self) -> BatchStatus:
        """Of a batch that is settled: a cancel that stopped something, a deadline that did, or neither.

        An upload that had not ended by then was stopped by it too.
        """
        reduced = None if self.reduction is None else self.reduction.status
        counts, sealed_at = self.counts, self.sealed_at or 0
        if self.cancel_requested_at is not None and (
            counts.canceled or reduced is JobStatus.CANCELED or sealed_at > self.cancel_requested_at
        ):
            return BatchStatus.CANCELED
        if counts.expired or reduced is JobStatus.EXPIRED or sealed_at >= self.spec.expires_at:
            return BatchStatus.EXPIRED
        return BatchStatus.COMPLETED

    def received(self, total: int) -> Self:
        """Open, with at least so many items accepted."""
        return self if total <= self.total or self.sealed_at is not None else replace(self._next(), total=total)

    def sealed(self, total: int, *, at: int) -> Self:
        """Running, with exactly so many items. Nothing changes what was sealed."""
        if self.sealed_at is not None:
            return self
        return replace(self._next(), status=BatchStatus.RUNNING, total=total, sealed_at=at)

    def cancel_requested(self, *, at: int) -> Self:
        if self.status.terminal or self.cancel_requested_at is not None:
            return self
        return replace(self._next(), cancel_requested_at=at)

    def merged(self, items: Items) -> Self:
        """Knowing also what `items` know; itself where that is nothing new, or where it is over."""
        known = self.items | items
        return self if self.status.terminal or known == self.items else replace(self._next(), items=known)

    def reducing(self, reduction: Reduction) -> Self:
        """With what is known of its reduction. What has an outcome keeps it."""
        over = self.reduction is not None and self.reduction.status.terminal
        if self.status.terminal or over or reduction == self.reduction:
            return self
        return replace(self._next(), reduction=reduction)

    def concluded(self, *, at: int) -> Self:
        """Over, if everything that it waits for is; else itself."""
        end = self.end()
        if end is None or self.status.terminal:
            return self
        return replace(self._next(), status=end, finished_at=at)

    def erased(self, *, at: int) -> Self:
        """The stub of a batch that is over: nothing that was asked or answered, and enough to know it by."""
        reduce = self.spec.reduce and replace(self.spec.reduce, options=b"{}")
        spec = replace(self.spec, labels={}, webhook=None, reduce=reduce, traceparent=None)
        reduction = self.reduction and replace(self.reduction, output=None, error=None)
        return replace(self._next(), spec=spec, items=Items(), reduction=reduction, deleted_at=at)

    def _next(self) -> Self:
        return replace(self, revision=self.revision + 1)


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """A batch as lists have it: `batch` without its sets of items and its reduction's output, and their counts."""

    batch: Batch
    counts: Counts


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of an upload: up to CHUNK_ITEMS items, or CHUNK_BYTES."""

    number: int
    """From 0, without a gap as far as the upload has come, but for those that are being written."""
    first: int
    """The index of its first item."""
    items: int
    hash: bytes
    """SHA-256 of the items, as `services/gateway` defines it."""
    published: bool = False
    """Whether the broker is known to have taken all of them."""


def kept_until(batch: Batch, retention: Retention) -> int:
    """When the batch can no longer be read, counted from its lifetime's end where it is not over."""
    if batch.finished_at is None:
        return batch.spec.created_at + batch.spec.lifetime_ms + retention.other_seconds * 1_000
    completed = batch.status is BatchStatus.COMPLETED
    return batch.finished_at + (retention.succeeded_seconds if completed else retention.other_seconds) * 1_000


def forget_at(batch: Batch, retention: Retention) -> int:
    """When the document may vanish: nobody may read it any more, and no message about it is left anywhere."""
    over = batch.spec.created_at + batch.spec.lifetime_ms
    return max(over, kept_until(batch, retention)) + MESSAGES_LAST_MS
