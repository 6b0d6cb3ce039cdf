"""What the stores in memory make of values: what Firestore would refuse, find, or leave out."""

from dataclasses import replace
from typing import Final

from shared.errors import DocumentRefused
from shared.models.job import Job, JobSpec
from shared.storage.contract import JobFilter

MAX_VALUE_BYTES: Final = 1_048_487
"""Firestore's bound on the value of one field."""


def check_values(*values: bytes | None) -> None:
    """Raises DocumentRefused for what no field holds."""
    if any(value is not None and len(value) > MAX_VALUE_BYTES for value in values):
        raise DocumentRefused("a value is larger than a field may be")


def fits(job: Job, wanted: JobFilter) -> bool:
    """Whether a list shows the job."""
    spec = job.spec
    return (
        spec.tenant == wanted.tenant
        and wanted.status in {None, job.status}
        and wanted.handler in {None, spec.handler}
        and (wanted.label is None or wanted.label in spec.labels.items())
        and (wanted.created_after is None or spec.created_at > wanted.created_after)
        and (wanted.created_before is None or spec.created_at < wanted.created_before)
    )


def summary(job: Job) -> Job:
    """The job as lists have it: without what makes it large."""
    return replace(job, spec=replace(job.spec, input=b"", traceparent=None), output=None)


def outcome(job: Job) -> Job:
    """The job as whoever gathers outputs has it."""
    return Job(
        spec=JobSpec(job.spec.id, "", "", "", b"", 0, 0, timeout_seconds=0.0, max_attempts=0),
        status=job.status,
        attempt=job.attempt,
        started_at=job.started_at,
        finished_at=job.finished_at,
        output=job.output,
        error=job.error,
        attempts=job.attempts,
        deleted_at=job.deleted_at,
    )
