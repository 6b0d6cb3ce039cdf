"""The public JSON of a job, rendered once by whoever makes the state; caches, gateways and clients pass the bytes on.

`Snapshot` is what travels: the bytes with the order that says which of two is newer.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from shared.clock import rfc3339
from shared.models.job import Job, JobStatus, order


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A job's public JSON at one state."""

    id: str
    order: int
    terminal: bool
    body: bytes


def snapshot(job: Job) -> Snapshot:
    return Snapshot(job.spec.id, job.order, job.status.terminal, render(job))


def render(job: Job) -> bytes:
    """The job as the HTTP API shows it."""
    spec = job.spec
    path = f"/v1/jobs/{spec.id}"
    return orjson.dumps(
        {
            "id": spec.id,
            "handler": spec.handler,
            "status": job.status,
            "created_at": rfc3339(spec.created_at),
            "scheduled_for": _time(job.scheduled_for),
            "started_at": _time(job.started_at),
            "finished_at": _time(job.finished_at),
            "cancel_requested_at": _time(job.cancel_requested_at),
            "attempt": job.attempt,
            "max_attempts": spec.max_attempts,
            "progress": None,
            "output": None if job.output is None else orjson.Fragment(job.output),
            "error": _error(job),
            "labels": dict(spec.labels),
            "batch": spec.batch,
            "replay_of": spec.replay_of,
            "urls": {"self": path, "cancel": f"{path}/cancel", "events": f"{path}/events"},
        }
    )


def unclaimed(id: str, *, created_at: int, expires_at: int, now: int) -> Snapshot:
    """What is known of an accepted job when only its id is: queued, or expired once its lifetime is over.

    The rest is null: nobody at hand knows it.
    """
    expired = now >= expires_at
    status = JobStatus.EXPIRED if expired else JobStatus.QUEUED
    path = f"/v1/jobs/{id}"
    body = orjson.dumps(
        {
            "id": id,
            "handler": None,
            "status": status,
            "created_at": rfc3339(created_at),
            "scheduled_for": None,
            "started_at": None,
            "finished_at": rfc3339(expires_at) if expired else None,
            "cancel_requested_at": None,
            "attempt": 0,
            "max_attempts": None,
            "progress": None,
            "output": None,
            "error": None,
            "labels": None,
            "batch": None,
            "replay_of": None,
            "urls": {"self": path, "cancel": f"{path}/cancel", "events": f"{path}/events"},
        }
    )
    return Snapshot(id, order(status, attempt=0), status.terminal, body)


def _time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)


def _error(job: Job) -> dict[str, Any] | None:
    if job.error is None:
        return None
    return {
        "code": job.error.code,
        "message": job.error.message,
        "retryable": job.error.retryable,
        "attempts": [
            {
                "attempt": each.attempt,
                "code": each.code,
                "message": each.message,
                "started_at": rfc3339(each.started_at),
                "finished_at": rfc3339(each.finished_at),
            }
            for each in job.attempts
        ],
    }
