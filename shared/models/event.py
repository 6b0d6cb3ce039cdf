"""What happened to a job, told to whoever listens: statistics, batches, webhooks.

Written by the worker and the gateway after the store knows, read by the aggregator and the webhooks service. Harmless
twice: the id is the same each time (`{job}:{type}:{attempt}`) and consumers merge.
"""

from typing import Any, Final

import orjson

from shared.clock import parse_rfc3339, rfc3339
from shared.models.job import Job, JobStatus
from shared.values import value

RETRIED: Final = "job.retried"
"""An attempt failed and another one waits. For statistics alone, and told on a best-effort basis."""


class MalformedEvent(ValueError):
    """The body is not an event."""


@value(frozen=True, slots=True)
class Event:
    """A lifecycle event, with the fields that CloudEvents names."""

    id: str
    type: str
    source: str
    time: int
    tenant: str
    batch: str | None
    data: dict[str, Any]
    """The job's summary: no input, no output."""
    webhook: dict[str, Any] | None = None
    """The one-off webhook of what this is about: `url` and `events`. In the body alone."""

    @property
    def attributes(self) -> dict[str, str]:
        found = {"type": self.type, "tenant": self.tenant}
        if self.batch:
            found["batch"] = self.batch
        return found

    def encode(self) -> bytes:
        return orjson.dumps(
            {
                "specversion": "1.0",
                "id": self.id,
                "type": self.type,
                "source": self.source,
                "time": rfc3339(self.time),
                "tenant": self.tenant,
                "batch": self.batch,
                "data": self.data,
                **({"webhook": self.webhook} if self.webhook else {}),
            }
        )

    @classmethod
    def decode(cls, body: bytes) -> "Event":
        """Raises MalformedEvent. Unknown fields are ignored."""
        try:
            fields = orjson.loads(body)
            return cls(
                id=fields["id"],
                type=fields["type"],
                source=fields["source"],
                time=parse_rfc3339(fields["time"]),
                tenant=fields["tenant"],
                batch=fields.get("batch"),
                data=fields["data"],
                webhook=fields.get("webhook"),
            )
        except (KeyError, TypeError, ValueError) as fault:
            raise MalformedEvent(type(fault).__name__) from None


def job_event(job: Job, *, source: str, at: int) -> Event:
    """The event of the state that `job` is in: `job.started`, `job.retried`, `job.succeeded`, …

    source: the service that tells, such as `worker`.
    """
    spec = job.spec
    retried = job.status is JobStatus.SCHEDULED
    kind = f"job.{job.status}" if job.status.terminal else RETRIED if retried else "job.started"
    return Event(
        id=f"{spec.id}:{kind}:{job.attempt}",
        type=kind,
        source=f"/sluice/{source}",
        time=at if retried else job.finished_at or job.started_at or at,
        tenant=spec.tenant,
        batch=spec.batch,
        data={
            "id": spec.id,
            "handler": spec.handler,
            "queue": spec.queue,
            "status": job.status,
            "attempt": job.attempt,
            "index": spec.index,
            "labels": dict(spec.labels),
            "created_at": spec.created_at,
            "scheduled_for": spec.scheduled_for,
            "started_at": job.started_at,
            "finished_at": job.finished_at,
            "error_code": job.error.code if job.error else None,
        },
        webhook=None if spec.webhook is None else spec.webhook.members(),
    )
