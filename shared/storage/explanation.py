"""Why a job is where it is, from its document: what `GET /v1/jobs/{id}/explain` and `sluice-admin jobs explain` say.

`reason` is one of the codes of `Reason`, which stay what they are; `detail` says it in a sentence that may change. The
other members are the facts it rests on, null where they do not apply or nobody knows them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from shared.clock import MILLISECONDS, rfc3339
from shared.ids import IssuedId
from shared.models.job import ErrorCode, Job, JobStatus
from shared.storage.contract import Stored


class Reason(StrEnum):
    """Why a job is in its state."""

    WAITING_FOR_WORKER = "waiting_for_worker"
    """Queued: the broker has it and no worker has claimed it. `backlog` says how many wait, where that is known."""
    NO_WORKER_ANNOUNCED = "no_worker_announced"
    """Queued, and no worker has ever announced the job's handler to this system."""
    NO_WORKER_SEEN = "no_worker_seen"
    """It waits for a worker, and none takes from its queue at present."""
    QUEUE_PAUSED = "queue_paused"
    """It waits for a worker, and an operator has paused its queue."""
    DELAYED = "delayed"
    """Scheduled: its client asked for a time to run at, `until`."""
    BACKOFF = "backoff"
    """Scheduled: an attempt failed (`error`), and the next one starts at `until`."""
    DUE = "due"
    """Scheduled, and its time has come: it is about to be, or was, queued, and no worker has claimed it."""
    RUNNING = "running"
    """A worker runs it and renews its lease."""
    CANCEL_REQUESTED = "cancel_requested"
    """It runs, and its handler was, or is about to be, told to stop."""
    RELEASED = "released"
    """The worker that ran it has left and given it back; the next free worker takes it."""
    LEASE_LAPSED = "lease_lapsed"
    """The worker that ran it has not renewed its lease in time; the next free worker takes it over."""
    SUCCEEDED = "succeeded"
    HANDLER_FAILED = "handler_failed"
    """It failed for good at something that trying again does not mend: `error` says what."""
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    """Each attempt that it was allowed failed."""
    WORKER_LOST = "worker_lost"
    """It took its worker with it too often."""
    UNDELIVERABLE = "undeliverable"
    """The broker gave up on its message."""
    CANCELED_BEFORE_START = "canceled_before_start"
    CANCELED_WHILE_RUNNING = "canceled_while_running"
    """Or between two attempts."""
    EXPIRED_BEFORE_START = "expired_before_start"
    """No worker came to it within its lifetime. It never ran."""
    EXPIRED_BETWEEN_ATTEMPTS = "expired_between_attempts"
    """It ran, failed, and its lifetime ended before it could be tried again."""


@dataclass(frozen=True, slots=True)
class Explanation:
    reason: Reason
    detail: str
    since: int | None
    """Since when it is in this state."""
    until: int | None = None
    """When it changes by itself, if that is known."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """The queue that a job waits in."""

    name: str
    paused_at: int | None = None
    """Milliseconds since the epoch; None: it runs, or nobody can tell."""
    backlog: int | None = None
    """Messages of the job's lane that no worker holds."""
    workers: int | None = None
    """Processes that take from the lane."""


WAITING = frozenset({Reason.WAITING_FOR_WORKER, Reason.DUE, Reason.RELEASED, Reason.LEASE_LAPSED})
"""A worker has to come for it."""


def in_queue(why: Explanation, queue: QueueState | None) -> Explanation:
    """The same, or what about its queue keeps workers from a job that waits for one."""
    if queue is None or why.reason not in WAITING:
        return why
    if queue.paused_at is not None:
        detail = f"An operator has paused its queue, {queue.name}, since {rfc3339(queue.paused_at)}."
        return replace(why, reason=Reason.QUEUE_PAUSED, detail=detail)
    if queue.workers == 0:
        return replace(why, reason=Reason.NO_WORKER_SEEN, detail=f"No worker takes from its queue, {queue.name}.")
    if queue.backlog:
        behind = "1 message waits" if queue.backlog == 1 else f"{queue.backlog} messages wait"
        return replace(why, detail=f"{why.detail} {behind} in its queue, {queue.name}.")
    return why


def explain(stored: Stored[Job], now: int) -> Explanation:
    """Why the job is in its state."""
    job = stored.value
    match job.status:
        case JobStatus.SCHEDULED:
            return _scheduled(job, now)
        case JobStatus.RUNNING:
            return _running(job, stored)
        case JobStatus.SUCCEEDED:
            return Explanation(Reason.SUCCEEDED, f"Attempt {job.attempt} succeeded.", job.finished_at)
        case JobStatus.FAILED:
            return _failed(job)
        case JobStatus.CANCELED if job.started_at is None:
            return Explanation(Reason.CANCELED_BEFORE_START, "It was canceled before it ran.", job.finished_at)
        case JobStatus.CANCELED:
            return Explanation(
                Reason.CANCELED_WHILE_RUNNING, f"It was canceled in or after attempt {job.attempt}.", job.finished_at
            )
        case JobStatus.EXPIRED if job.started_at is None:
            return Explanation(
                Reason.EXPIRED_BEFORE_START, "No worker came to it within its lifetime.", job.finished_at
            )
        case JobStatus.EXPIRED:
            detail = f"Attempt {job.attempt} failed, and its lifetime ended before it could be tried again."
            return Explanation(Reason.EXPIRED_BETWEEN_ATTEMPTS, detail, job.finished_at)
    return Explanation(Reason.WAITING_FOR_WORKER, "No worker has claimed it yet.", job.spec.created_at)


def _scheduled(job: Job, now: int) -> Explanation:
    until = job.scheduled_for
    failed_at = job.attempts[-1].finished_at if job.attempts else None
    if until is not None and until <= now:
        return Explanation(Reason.DUE, "Its time has come, and no worker has claimed it yet.", until)
    if job.error is not None and failed_at is not None:
        detail = f"Attempt {job.attempt} of {job.spec.max_attempts} failed ({job.error.code}); the next one waits."
        return Explanation(Reason.BACKOFF, detail, failed_at, until)
    return Explanation(Reason.DELAYED, "Its client asked for this time.", job.spec.created_at, until)


def _running(job: Job, stored: Stored[Job]) -> Explanation:
    since = job.started_at
    attempt = f"attempt {job.attempt} of {job.spec.max_attempts}"
    if job.lease_seconds == 0:
        return Explanation(Reason.RELEASED, f"Its worker has left during {attempt}; another takes it.", since)
    if stored.idle_seconds >= job.lease_seconds:
        return Explanation(Reason.LEASE_LAPSED, f"Its worker was lost during {attempt}; another takes it.", since)
    if job.cancel_requested_at is not None:
        return Explanation(Reason.CANCEL_REQUESTED, "Its handler is told to stop.", job.cancel_requested_at)
    until = None if since is None else since + round(job.spec.timeout_seconds * MILLISECONDS)
    return Explanation(Reason.RUNNING, f"A worker runs {attempt}.", since, until)


_FAILED = {
    ErrorCode.ATTEMPTS_EXHAUSTED: Reason.ATTEMPTS_EXHAUSTED,
    ErrorCode.WORKER_LOST: Reason.WORKER_LOST,
    ErrorCode.UNDELIVERABLE: Reason.UNDELIVERABLE,
}


def _failed(job: Job) -> Explanation:
    code = job.error.code if job.error else ErrorCode.HANDLER_ERROR
    detail = f"Attempt {job.attempt} of {job.spec.max_attempts} ended it ({code})."
    return Explanation(_FAILED.get(code, Reason.HANDLER_FAILED), detail, job.finished_at)


def _head(id: str, status: str, handler: str | None, why: Explanation) -> dict[str, Any]:
    return {
        "id": id,
        "handler": handler,
        "status": status,
        "reason": why.reason,
        "detail": why.detail,
        "since": _time(why.since),
        "until": _time(why.until),
    }


def facts(stored: Stored[Job], now: int, queue: QueueState | None = None) -> dict[str, Any]:
    """Of a job that has a document. queue: its state, where it waits for a worker and that is known."""
    job, why = stored.value, in_queue(explain(stored, now), queue)
    spec, runs = job.spec, job.status is JobStatus.RUNNING
    limit = round(spec.timeout_seconds * MILLISECONDS)
    error = job.error and {"code": job.error.code, "message": job.error.message, "retryable": job.error.retryable}
    return {
        **_head(spec.id, job.status, spec.handler or None, why),
        "attempt": job.attempt,
        "max_attempts": spec.max_attempts or None,
        "deadline": rfc3339(spec.expires_at),
        "attempt_deadline": rfc3339(job.started_at + limit) if runs and job.started_at is not None else None,
        "worker": job.worker if runs else None,
        "lease": _lease(stored),
        "lost_leases": job.lost,
        "cancel_requested_at": _time(job.cancel_requested_at),
        "error": error,
        "backlog": queue and queue.backlog,
    }


def facts_of_unclaimed(
    issued: IssuedId, status: JobStatus, handler: str | None, *, announced: bool, queue: QueueState | None = None
) -> dict[str, Any]:
    """Of a job without a document.

    handler: where that is known. announced: whether any worker has announced it, as far as is known. queue: as `facts`.
    """
    if status is JobStatus.EXPIRED:
        why = Explanation(Reason.EXPIRED_BEFORE_START, "No worker came to it within its lifetime.", issued.expires_at)
    elif not announced:
        why = Explanation(Reason.NO_WORKER_ANNOUNCED, "No worker has announced its handler.", issued.created_at)
    else:
        why = Explanation(Reason.WAITING_FOR_WORKER, "No worker has claimed it yet.", issued.created_at)
    why = in_queue(why, queue)
    return {
        **_head(issued.text, status, handler, why),
        "attempt": 0,
        "max_attempts": None,
        "deadline": rfc3339(issued.expires_at),
        "attempt_deadline": None,
        "worker": None,
        "lease": None,
        "lost_leases": 0,
        "cancel_requested_at": None,
        "error": None,
        "backlog": queue and queue.backlog,
    }


def _lease(stored: Stored[Job]) -> Mapping[str, Any] | None:
    if stored.value.status is not JobStatus.RUNNING:
        return None
    return {"seconds": stored.value.lease_seconds, "age_seconds": round(stored.idle_seconds, 3)}


def _time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)
