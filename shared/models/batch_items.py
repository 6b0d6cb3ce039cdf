"""What is known of a batch's items: for each outcome the set of those that have it, as bitmaps (see `bitmap`).

Reports are merged into the sets, which commutes and is idempotent: in any order, however often, by however many, it
comes to the same. Part of `batch.Batch`; gathered by the aggregator, counted and picked from by whoever shows a batch.
"""

from dataclasses import dataclass

from shared.models import bitmap
from shared.models.job import JobStatus


@dataclass(frozen=True, slots=True)
class Items:
    """What is known of a batch's items: the set of those that have started, and of those with each outcome.

    `|` merges what two know. An item has one outcome for ever, so no two sets of outcomes ever share one; should
    they, the first in the order below counts, whichever was heard of first.
    """

    started: int = 0
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    expired: int = 0

    def __or__(self, other: "Items") -> "Items":
        return Items(
            self.started | other.started,
            self.succeeded | other.succeeded,
            self.failed | other.failed,
            self.canceled | other.canceled,
            self.expired | other.expired,
        )

    @property
    def over(self) -> int:
        """The set of those with an outcome."""
        return self.succeeded | self.failed | self.canceled | self.expired

    @property
    def least(self) -> int:
        """How many items there are at least, for these to be among them."""
        return (self.started | self.over).bit_length()

    def with_status(self, status: JobStatus, total: int) -> int:
        """The set of those of the first `total` items that are in this state, as far as is known."""
        return self._parts(total).get(status, 0)

    def counts(self, total: int) -> "Counts":
        """Of the first `total` items."""
        sizes = {str(status): bits.bit_count() for status, bits in self._parts(total).items()}
        return Counts(total=total, **sizes)

    def _parts(self, total: int) -> dict[JobStatus, int]:
        parts: dict[JobStatus, int] = {}
        left = bitmap.full(total)
        for status, bits in (
            (JobStatus.SUCCEEDED, self.succeeded),
            (JobStatus.FAILED, self.failed),
            (JobStatus.CANCELED, self.canceled),
            (JobStatus.EXPIRED, self.expired),
            (JobStatus.RUNNING, self.started),
        ):
            parts[status] = bits & left
            left &= ~bits
        return {**parts, JobStatus.QUEUED: left}


@dataclass(frozen=True, slots=True)
class Counts:
    """Of a batch's items. All but `total` add up to it."""

    total: int = 0
    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    expired: int = 0
