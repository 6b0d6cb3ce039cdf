"""What a worker counts, and its one line a job."""

import logging
from typing import Any, TypeVar

from prometheus_client import Counter, Histogram

from services.worker.claim import Claim
from shared.clock import MILLISECONDS, Clock
from shared.models.job import ErrorCode, Job
from shared.telemetry.logs import tell
from shared.telemetry.metrics import CLAIMS, JOB_QUEUE_TIME, JOB_RUN_TIME, JOBS_FINISHED, JOBS_RUNNING, Metrics

M = TypeVar("M", Counter, Histogram)

_log = logging.getLogger("sluice.worker")


class Measures:
    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._clock = clock
        self._claims = metrics.counter(CLAIMS)
        self._finished = metrics.counter(JOBS_FINISHED)
        self._run_time = metrics.histogram(JOB_RUN_TIME)
        self._queue_time = metrics.histogram(JOB_QUEUE_TIME)
        self._running = metrics.gauge(JOBS_RUNNING)
        self._bound: dict[tuple[object, ...], Any] = {}

    def claim(self, claim: Claim) -> None:
        self._label(self._claims, type(claim).__name__.lower()).inc()

    def began(self, job: Job) -> None:
        """A claimed job is held; `released` follows, whatever comes."""
        self._running.inc()
        self._label(self._queue_time, job.spec.queue).observe(_queue_seconds(job))

    def released(self) -> None:
        self._running.dec()

    def ended(self, job: Job) -> None:
        """The attempt ended in the state that `job` is in."""
        outcome = str(job.error.code) if job.error else str(job.status)
        run_seconds = (self._clock.now() - (job.started_at or 0)) / MILLISECONDS
        self._label(self._finished, job.spec.handler, outcome).inc()
        self._label(self._run_time, job.spec.handler).observe(run_seconds)
        tell(
            _log,
            "job",
            {
                "job": job.spec.id,
                "tenant": job.spec.tenant,
                "handler": job.spec.handler,
                "queue": job.spec.queue,
                "status": str(job.status),
                "outcome": outcome,
                "attempt": job.attempt,
                "lost": job.lost,
                "queue_seconds": round(_queue_seconds(job), 3),
                "run_seconds": round(run_seconds, 3),
            },
        )

    def given_up(self, job: Job) -> None:
        """The broker gave up on the job's message, and it was ended."""
        self._label(self._finished, job.spec.handler, str(ErrorCode.UNDELIVERABLE)).inc()
        _log.warning(
            "a job was undeliverable",
            extra={
                "job": job.spec.id,
                "tenant": job.spec.tenant,
                "handler": job.spec.handler,
                "queue": job.spec.queue,
                "attempt": job.attempt,
            },
        )

    def _label(self, metric: M, *values: str) -> M:
        """The metric for these labels; finding it costs more than counting."""
        bound = self._bound.get((metric, *values))
        if bound is None:
            bound = self._bound[metric, *values] = metric.labels(*values)
        found: M = bound
        return found


def _queue_seconds(job: Job) -> float:
    ready_at = max(job.spec.created_at, job.spec.scheduled_for or 0)
    return max(0.0, ((job.started_at or ready_at) - ready_at) / MILLISECONDS)
