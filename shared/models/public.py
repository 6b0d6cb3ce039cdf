"""The public JSON of a job, rendered once by whoever makes the state; caches, gateways and clients pass the bytes on.

`Snapshot` is what travels: the bytes with the order that says which of two is newer. Only an unfinished job is touched
on its way, by `with_progress`; the bytes of a finished one stay what they were.
"""

from typing import Any

import orjson

from shared.clock import rfc3339
from shared.models.job import Job, JobSpec, attempt_of, is_running
from shared.values import value

_NO_PROGRESS = b'"progress":null'
_LAST_BIT = 1


@value(frozen=True, slots=True)
class Snapshot:
    """A job's public JSON at one state."""

    id: str
    order: int
    terminal: bool
    body: bytes
    deleted: bool = False
    """The job was deleted: there is nothing to show, now or ever."""

    @property
    def unattempted(self) -> bool:
        """Whether no attempt has begun: all that is known is what accepting it made known."""
        return not self.terminal and attempt_of(self.order) == 0

    @property
    def final(self) -> bool:
        """Whether its bytes never change again. Those of a tombstone do, once, when its spec becomes known."""
        return self.terminal and bool(self.order & _LAST_BIT) and not self.deleted


def snapshot(job: Job) -> Snapshot:
    return Snapshot(job.spec.id, job.order, job.status.terminal, render(job))


def deleted(id: str) -> Snapshot:
    """What is said of a deleted job: it outranks every state that the job was ever in."""
    return Snapshot(id, 2**53 - 1, terminal=True, body=b"{}", deleted=True)


def render(job: Job) -> bytes:
    """The job as the HTTP API shows it."""
    return orjson.dumps(_members(job))


def render_entry(job: Job) -> bytes:
    """The job as a list shows it: without `output`, for a page of large ones would be larger than anyone can hold."""
    members = _members(job)
    del members["output"]
    return orjson.dumps(members)


def with_progress(snapshot: Snapshot, attempt: int, progress: bytes) -> bytes:
    """The snapshot's JSON showing `progress` (JSON), if that attempt is the one that runs.

    The member's bytes cannot occur earlier: inside a string their quotes would be escaped.
    """
    if not is_running(snapshot.order) or attempt_of(snapshot.order) != attempt:
        return snapshot.body
    return snapshot.body.replace(_NO_PROGRESS, b'"progress":' + progress, 1)


def unclaimed(id: str, *, created_at: int, expires_at: int, now: int) -> Snapshot:
    """What is known of an accepted job when only its id is: queued, or expired once its lifetime is over.

    The rest is null: nobody at hand knows it.
    """
    job = Job.queued(JobSpec.unknown(id, tenant="", created_at=created_at, expires_at=expires_at))
    return snapshot(job.expired(at=expires_at) if now >= expires_at else job)


def _members(job: Job) -> dict[str, Any]:
    spec = job.spec
    path = f"/v1/jobs/{spec.id}"
    return {
        "id": spec.id,
        "handler": spec.handler or None,
        "status": job.status,
        "created_at": rfc3339(spec.created_at),
        "scheduled_for": _time(job.scheduled_for),
        "started_at": _time(job.started_at),
        "finished_at": _time(job.finished_at),
        "cancel_requested_at": _time(job.cancel_requested_at),
        "attempt": job.attempt,
        "max_attempts": spec.max_attempts or None,
        "progress": None,
        "output": None if job.output is None else orjson.Fragment(job.output),
        "error": _error(job),
        "labels": dict(spec.labels) if spec.known else None,
        "batch": spec.batch,
        "replay_of": spec.replay_of,
        "urls": {"self": path, "cancel": f"{path}/cancel", "events": f"{path}/events"},
    }


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
