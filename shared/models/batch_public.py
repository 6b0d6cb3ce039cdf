"""What is told of a batch: its public JSON, and the events of its life.

The JSON travels as a job's does, as a `Snapshot` under the batch's id with the order that says which of two is newer.
So whatever keeps, watches and waits for jobs does it for batches.

| event | writer → reader | harmless twice because |
|---|---|---|
| `batch.sealed`, `batch.cancel_requested` | gateway, once the store knows → aggregator | it looks into the document |
| `batch.deadline` | the batch's timer → aggregator | likewise |
| `batch.completed`, `.canceled`, `.expired` | aggregator → webhooks | one end, one id `{batch}:{type}` |
"""

from dataclasses import asdict
from typing import Any, Final

import orjson

from shared.clock import rfc3339
from shared.models.batch import DEADLINE_GRACE_MS, Batch, BatchEntry, BatchSpec, Reduction
from shared.models.batch_items import Counts
from shared.models.event import Event
from shared.models.job import JobError
from shared.models.public import Snapshot
from shared.models.webhook import optional_time

SEALED: Final = "batch.sealed"
CANCEL_REQUESTED: Final = "batch.cancel_requested"
DEADLINE: Final = "batch.deadline"
MAX_EVENT_OUTPUT_BYTES: Final = 8_000
"""Of a reduction; a larger one is to be read from the batch."""


def batch_snapshot(batch: Batch) -> Snapshot:
    return Snapshot(batch.spec.id, batch.order, batch.status.terminal, render_batch(batch))


def render_batch(batch: Batch) -> bytes:
    """The batch as the HTTP API shows it."""
    return orjson.dumps(_members(batch, batch.counts))


def render_batch_entry(entry: BatchEntry) -> bytes:
    """The batch as a list shows it: without its reduction's output."""
    members = _members(entry.batch, entry.counts)
    if members["reduce"] is not None:
        del members["reduce"]["output"]
    return orjson.dumps(members)


def end_event(batch: Batch, *, source: str) -> Event:
    """`batch.completed`, `batch.canceled` or `batch.expired`, of a batch that is over. Its data are what is delivered.

    source: the service that tells, such as `aggregator`.
    """
    assert batch.finished_at is not None
    data = _members(batch, batch.counts)
    if data["reduce"] is not None:
        output = batch.reduction.output if batch.reduction is not None else None
        omitted = output is not None and len(output) > MAX_EVENT_OUTPUT_BYTES
        data["reduce"] |= {"output": None, "output_omitted": True} if omitted else {"output_omitted": False}
    return _event(batch.spec, f"batch.{batch.status}", source, batch.finished_at, data)


def sealed_event(batch: Batch, *, source: str) -> Event:
    """Says how many items there are to wait for."""
    return _event(batch.spec, SEALED, source, batch.sealed_at or 0, _sealed(batch))


def cancel_event(batch: Batch, *, source: str) -> Event:
    return _event(batch.spec, CANCEL_REQUESTED, source, batch.cancel_requested_at or 0, {"id": batch.spec.id})


def deadline_event(spec: BatchSpec, *, source: str) -> Event:
    """What the batch's timer publishes, at `deadline_at`."""
    return _event(spec, DEADLINE, source, deadline_at(spec), {"id": spec.id})


def deadline_at(spec: BatchSpec) -> int:
    """When what has not reported is to be looked for (milliseconds since the epoch)."""
    return spec.expires_at + DEADLINE_GRACE_MS


def _sealed(batch: Batch) -> dict[str, Any]:
    return {"id": batch.spec.id, "handler": batch.spec.handler, "total": batch.total}


def _event(spec: BatchSpec, type: str, source: str, at: int, data: dict[str, Any]) -> Event:
    return Event(
        id=f"{spec.id}:{type}",
        type=type,
        source=f"/sluice/{source}",
        time=at,
        tenant=spec.tenant,
        batch=spec.id,
        data=data,
        webhook=None if spec.webhook is None else spec.webhook.members(),
    )


def _members(batch: Batch, counts: Counts) -> dict[str, Any]:
    spec = batch.spec
    path = f"/v1/batches/{spec.id}"
    return {
        "id": spec.id,
        "handler": spec.handler,
        "status": batch.status,
        "created_at": rfc3339(spec.created_at),
        "sealed_at": optional_time(batch.sealed_at),
        "finished_at": optional_time(batch.finished_at),
        "cancel_requested_at": optional_time(batch.cancel_requested_at),
        "expires_at": rfc3339(spec.expires_at),
        "counts": asdict(counts),
        "reduce": _reduce(spec, batch.reduction),
        "labels": dict(spec.labels),
        "urls": {
            "self": path,
            "jobs": f"{path}/jobs",
            "outputs": f"{path}/outputs",
            "cancel": f"{path}/cancel",
        },
    }


def _reduce(spec: BatchSpec, reduction: Reduction | None) -> dict[str, Any] | None:
    if spec.reduce is None:
        return None
    return {
        "handler": spec.reduce.handler,
        "job": None if reduction is None else reduction.job,
        "status": None if reduction is None else reduction.status,
        "output": None if reduction is None or reduction.output is None else orjson.Fragment(reduction.output),
        "error": None if reduction is None or reduction.error is None else _error(reduction.error),
    }


def _error(error: JobError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "retryable": error.retryable}
