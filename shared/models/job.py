"""A job: what was asked (`JobSpec`, never changes) and what became of it (`Job`, one frozen value a state).

Each transition of the state machine is a method that returns the next `Job`. Who may make which transition is settled
by preconditions in the store, not here.

    scheduled ──▶ queued ──▶ running ──▶ succeeded | failed | canceled | expired
        ▲                        │
        └──── a retry waits ─────┘

Written by the worker that holds the claim (and by the gateway for tombstones and cancel requests), read by everyone.
A **tombstone** ends a job that no worker has claimed: whoever writes it may know nothing but the id, and then the
worker that meets the job's message adds what was asked (`completed`). A **stub** is what is left of a deleted job
(`erased`).
"""

from collections.abc import Mapping
from dataclasses import field, replace
from enum import StrEnum
from typing import Self

from shared.models.fingerprint import fingerprint
from shared.models.webhook import JobWebhook
from shared.values import value

MAX_ATTEMPT_RECORDS = 10
"""The history kept of a job's failed attempts: the last ones."""

MESSAGES_LAST_MS = 8 * 86_400_000
"""Subscriptions keep messages for 7 days: a late duplicate must still meet the document."""


class JobStatus(StrEnum):
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"

    @property
    def terminal(self) -> bool:
        return self in _TERMINAL


_TERMINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.EXPIRED})

_RANK = {JobStatus.QUEUED: 1, JobStatus.RUNNING: 2, JobStatus.SCHEDULED: 3} | dict.fromkeys(_TERMINAL, 4)
"""Within one attempt a job is queued, then running, then waits for its retry or is over."""


def order(status: JobStatus, attempt: int, minor: int = 0) -> int:
    """The number that compares two states of one job (see `Job.order`)."""
    return attempt << 12 | _RANK[status] << 8 | minor


def attempt_of(order: int) -> int:
    """The attempt of a state of this order."""
    return order >> 12


def is_running(order: int) -> bool:
    """Whether a state of this order is that of a running job."""
    return order >> 8 & 0xF == _RANK[JobStatus.RUNNING]


class Lane(StrEnum):
    """A queue's two lanes, so that a batch of 100,000 never delays a person."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


class ErrorCode(StrEnum):
    HANDLER_ERROR = "handler_error"
    REJECTED = "rejected"
    ATTEMPT_TIMEOUT = "attempt_timeout"
    WORKER_LOST = "worker_lost"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    UNDELIVERABLE = "undeliverable"
    INVALID_OUTPUT = "invalid_output"
    OUTPUT_TOO_LARGE = "output_too_large"

    @classmethod
    def met(cls, value: str) -> "ErrorCode":
        """As a document has it. A code of a later version stays what it is: in a deployment both read one document."""
        try:
            return cls(value)
        except ValueError:
            code = str.__new__(cls, value)
            code._name_, code._value_ = value.upper(), value
            return code


@value(frozen=True, slots=True)
class JobSpec:
    """What was asked for, with every default resolved. Times are milliseconds since the epoch."""

    id: str
    tenant: str
    handler: str
    queue: str
    input: bytes
    """JSON, as accepted by the gateway."""
    created_at: int
    expires_at: int
    """Past this moment no attempt starts."""
    timeout_seconds: float
    """For one attempt."""
    max_attempts: int
    lane: Lane = Lane.INTERACTIVE
    scheduled_for: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    cache_key: str | None = None
    """Set when equal work may share this job's result (see `shared/cache/contract.py`)."""
    cache_for_seconds: int = 0
    batch: str | None = None
    index: int | None = None
    replay_of: str | None = None
    traceparent: str | None = None
    webhook: JobWebhook | None = None

    @classmethod
    def unknown(cls, id: str, *, tenant: str, created_at: int, expires_at: int) -> Self:
        """All that is known of a job of which nobody at hand has more than the id."""
        return cls(id, tenant, "", "", b"", created_at, expires_at, timeout_seconds=0.0, max_attempts=0)

    @property
    def known(self) -> bool:
        """Whether this says what was asked for; every handler has a name."""
        return bool(self.handler)


@value(frozen=True, slots=True)
class Attempt:
    """One failed attempt, as its job remembers it."""

    attempt: int
    code: ErrorCode
    message: str
    started_at: int
    finished_at: int


@value(frozen=True, slots=True)
class JobError:
    code: ErrorCode
    message: str
    retryable: bool


@value(frozen=True, slots=True)
class Job:
    """One state of a job."""

    spec: JobSpec
    status: JobStatus
    attempt: int = 0
    """The attempt that runs or ran last; 0 before the first."""
    fence: str = ""
    """Random, drawn at each claim: who does not hold the current one may not write."""
    worker: str = ""
    lease_seconds: int = 0
    """The claim lapses when the document was not touched for this long, by the store's own clock."""
    lost: int = 0
    """Leases that lapsed. They cost no attempt."""
    scheduled_for: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    output: bytes | None = None
    """JSON, as rendered by the handler's output type."""
    error: JobError | None = None
    attempts: tuple[Attempt, ...] = ()
    cancel_requested_at: int | None = None
    deleted_at: int | None = None
    """Since then this is a stub."""
    fingerprint: str | None = None
    """Set on a **dead letter**, a job that was given up on: equal for those that died of the same thing."""

    @property
    def order(self) -> int:
        """Grows with every state: by attempt, then status, then lost leases and a cancel request.

        Nothing with a lower order ever replaces a higher one, in the store, in a cache or at a client (it is the ETag).
        Terminal states need no room for a cancel request: there the last bit tells that the spec is known, so that a
        tombstone ranks higher once it is completed.
        """
        last = self.spec.known if self.status.terminal else self.cancel_requested_at is not None
        return order(self.status, self.attempt, min(self.lost, 127) * 2 + last)

    @classmethod
    def queued(cls, spec: JobSpec) -> Self:
        """As accepted: the broker holds the message and no worker has claimed it."""
        return cls(spec, JobStatus.QUEUED)

    @classmethod
    def scheduled(cls, spec: JobSpec) -> Self:
        """As accepted with a time to run at: the timer is written."""
        return cls(spec, JobStatus.SCHEDULED, scheduled_for=spec.scheduled_for)

    def claimed(self, *, attempt: int, fence: str, worker: str, lease_seconds: int, at: int) -> Self:
        """Running attempt `attempt` under a new fence. A running job claimed again lost its lease, unless released."""
        lost = self.lost + (self.status is JobStatus.RUNNING and bool(self.fence))
        return replace(
            self,
            status=JobStatus.RUNNING,
            attempt=attempt,
            fence=fence,
            worker=worker,
            lease_seconds=lease_seconds,
            lost=lost,
            scheduled_for=None,
            started_at=at,
        )

    def released(self) -> Self:
        """Given back by a worker that leaves: anybody may claim it at once, and it costs neither attempt nor loss."""
        return replace(self, fence="", lease_seconds=0)

    def succeeded(self, output: bytes, *, at: int) -> Self:
        return replace(self, status=JobStatus.SUCCEEDED, output=output, error=None, finished_at=at)

    def failed(self, error: JobError, *, at: int, cause: JobError | None = None) -> Self:
        """Over, for good. The failed attempt joins the history, as its `cause` where that says more than `error`."""
        return replace(
            self._with_attempt(cause or error, at),
            status=JobStatus.FAILED,
            error=error,
            finished_at=at,
            fingerprint=self._mark(error, cause or error),
        )

    def undeliverable(self, error: JobError, *, at: int) -> Self:
        """Over, because the broker gave up on its message. Only an attempt that had begun joins the history."""
        job = self._with_attempt(error, at) if self.status is JobStatus.RUNNING else self
        mark = self._mark(error, error)
        return replace(job, status=JobStatus.FAILED, error=error, finished_at=at, fingerprint=mark)

    def waiting(self, error: JobError, *, until: int, at: int) -> Self:
        """The attempt failed and the next one starts at `until`."""
        return replace(self._with_attempt(error, at), status=JobStatus.SCHEDULED, error=error, scheduled_for=until)

    def canceled(self, *, at: int, error: JobError | None = None) -> Self:
        """Over, because somebody asked for that. `error` is the attempt that failed last, if one did."""
        job = self._with_attempt(error, at) if error else self
        requested = self.cancel_requested_at if self.cancel_requested_at is not None else at
        return replace(
            job,
            status=JobStatus.CANCELED,
            error=error or self.error,
            cancel_requested_at=requested,
            finished_at=at,
        )

    def cancel_requested(self, *, at: int) -> Self:
        return replace(self, cancel_requested_at=at)

    def expired(self, *, at: int, error: JobError | None = None) -> Self:
        """Past its lifetime. `error` is the attempt that failed last, if one did."""
        job = self._with_attempt(error, at) if error else self
        return replace(job, status=JobStatus.EXPIRED, error=error or self.error, finished_at=at)

    def completed(self, spec: JobSpec) -> Self:
        """A tombstone, with what was asked."""
        return replace(self, spec=spec)

    def erased(self, *, at: int) -> Self:
        """The stub of a terminal job: nothing that was asked, said or answered, and enough to know it by."""
        spec = replace(self.spec, input=b"", labels={}, cache_key=None, cache_for_seconds=0, traceparent=None)
        return replace(
            self,
            spec=spec,
            fence="",
            worker="",
            output=None,
            error=self.error and replace(self.error, message=""),
            attempts=(),
            deleted_at=at,
            fingerprint=None,
        )

    def _mark(self, error: JobError, cause: JobError) -> str | None:
        """Makes a failure with `error` a dead letter, unless its handler decided not to work on the input."""
        if error.code is ErrorCode.REJECTED:
            return None
        return fingerprint(self.spec.handler, error.code, cause.code, message=cause.message)

    def _with_attempt(self, error: JobError, at: int) -> Self:
        started_at = self.started_at if self.started_at is not None else at
        record = Attempt(self.attempt, error.code, error.message, started_at, at)
        return replace(self, attempts=(*self.attempts, record)[-MAX_ATTEMPT_RECORDS:])


@value(frozen=True, slots=True)
class Retention:
    """How long a finished job can be read, and its document stays."""

    succeeded_seconds: int = 86_400
    other_seconds: int = 7 * 86_400

    def over(self, job: Job, now: int) -> bool:
        """Whether the finished job can no longer be read. An unfinished one always can."""
        if job.deleted_at is not None:
            return True
        return job.finished_at is not None and now >= self.until(job)

    def until(self, job: Job) -> int:
        """When the retention of a job ends, counted from its lifetime's end where it is not finished."""
        ended = job.spec.expires_at if job.finished_at is None else job.finished_at
        return ended + self._kept_ms(job)

    def forget_at(self, job: Job) -> int:
        """When the document may vanish: nobody may read it any more, and no message about it is left anywhere."""
        over = job.spec.expires_at
        if job.finished_at is not None:
            over = max(over, self.until(job))
        return over + MESSAGES_LAST_MS

    def _kept_ms(self, job: Job) -> int:
        kept = self.succeeded_seconds if job.status is JobStatus.SUCCEEDED else self.other_seconds
        return kept * 1_000
