"""What a cancel makes of a job. Pure; used by whoever cancels: the gateway's route and `sluice-admin jobs cancel`."""

from shared.ids import IssuedId
from shared.models.job import Job, JobSpec, JobStatus


def canceled(job: Job, *, lapsed: bool, at: int) -> Job | None:
    """The state that a cancel brings the job into; None where it changes nothing.

    lapsed: nobody has renewed the lease in time.
    """
    if job.status.terminal:
        return None
    if job.status is JobStatus.RUNNING and not lapsed:
        return None if job.cancel_requested_at is not None else job.cancel_requested(at=at)
    return job.canceled(at=at)


def known_by_id(issued: IssuedId, tenant: str, now: int) -> Job:
    """A job without a document: queued within its lifetime, expired after it."""
    spec = JobSpec.unknown(issued.text, tenant=tenant, created_at=issued.created_at, expires_at=issued.expires_at)
    job = Job.queued(spec)
    return job if now < issued.expires_at else job.expired(at=issued.expires_at)
