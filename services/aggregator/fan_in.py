"""What events say of a batch's items, gathered and merged. Pure: events in, the next state of the batch out.

`Heard` gathers what one window brings; the batch's own `merged` and `concluded` say what follows from it, in any order
and however often it is said.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from shared.models import bitmap
from shared.models.batch import Batch, Reduction
from shared.models.batch_items import Items
from shared.models.event import Event
from shared.models.job import Job, JobStatus

STARTED: Final = "job.started"
OUTCOMES: Final = {
    "job.succeeded": JobStatus.SUCCEEDED,
    "job.failed": JobStatus.FAILED,
    "job.canceled": JobStatus.CANCELED,
    "job.expired": JobStatus.EXPIRED,
}


@dataclass(slots=True)
class Heard:
    """Of one batch, within one window."""

    started: set[int] = field(default_factory=set)
    ended: dict[JobStatus, set[int]] = field(default_factory=dict)
    reduction: Reduction | None = None
    """What became of its reduction, where somebody has looked."""
    seal_at: int | None = None
    """Since when it is to end: an upload that has not ended by then has ended with what there is."""

    def put(self, index: int, status: JobStatus) -> None:
        """An item is in this state; RUNNING says that it has started."""
        if status is JobStatus.RUNNING:
            self.started.add(index)
        else:
            self.ended.setdefault(status, set()).add(index)

    def items(self) -> Items:
        return Items(
            started=bitmap.of(self.started), **{str(status): bitmap.of(found) for status, found in self.ended.items()}
        )


def item_status(event: Event, id_of: Callable[[int], str]) -> tuple[int, JobStatus] | None:
    """Which item an event of a job is about, and its state; None where it is about none.

    id_of: the ids of the batch's items, which nothing but an item has.
    """
    status = JobStatus.RUNNING if event.type == STARTED else OUTCOMES.get(event.type)
    index = event.data.get("index")
    if status is None or not isinstance(index, int) or id_of(index) != event.data["id"]:
        return None
    return index, status


def merged(batch: Batch, heard: Heard, *, at: int) -> Batch:
    """The batch, knowing what was heard; over, if that was the last; itself, if it was nothing new."""
    batch = batch.merged(heard.items())
    if heard.seal_at is not None:
        batch = batch.sealed(batch.shown_total, at=heard.seal_at)
    if heard.reduction is not None:
        batch = batch.reducing(heard.reduction)
    return batch.concluded(at=at)


def reduction_of(job: Job) -> Reduction:
    """What became of a reduction, as its job says."""
    return Reduction(job.spec.id, job.status, job.output, job.error)
