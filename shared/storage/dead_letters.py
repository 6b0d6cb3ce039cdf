"""The Protocol of dead letters: jobs that were given up on, as operators list and replay them.

Part of the storage contract, in a file of its own. A dead letter is no document of its own: it is the job's, found by
indexes that hold nothing but dead letters. Written with the job by whoever ends it (`Job.failed`, `Job.undeliverable`);
read by the gateway.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.models.job import Job


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Which dead letters a list shows: those that fit all that is set. Times are milliseconds since the epoch."""

    tenant: str | None
    """None: every tenant's."""
    handler: str | None = None
    fingerprint: str | None = None
    failed_after: int | None = None
    """That moment itself is out."""
    failed_before: int | None = None
    """Likewise."""


@dataclass(frozen=True, slots=True, order=True)
class DeadPlace:
    """Where a dead letter stands in lists, which go from the highest place, the latest, to the lowest."""

    failed_at: int
    id: str

    @classmethod
    def of(cls, job: Job) -> "DeadPlace":
        return cls(job.finished_at or 0, job.spec.id)


class DeadLetters(Protocol):
    """Its jobs have neither input, output nor trace, so that pages stay small."""

    async def page(self, wanted: DeadLetterFilter, *, after: DeadPlace | None, limit: int) -> Sequence[Job]:
        """The latest dead letters below `after`, no stubs; fewer than `limit` if that is all.

        Raises StoreUnavailable.
        """
        ...
