"""A batch as a document of `batches`: the spec, written once, and the state, written again at each change.

`shard` leads the list indexes; the stub of a deleted batch has none. Each set of items is one field of bytes; their
counts stand beside them, so that lists need not read the sets. Labels, the webhook and what concerns the reduction are
JSON bytes. The revision makes every write a change.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import orjson

from shared.models import bitmap
from shared.models.batch import Batch, BatchSpec, BatchStatus, ReduceSpec, Reduction
from shared.models.batch_items import Counts, Items
from shared.models.job import ErrorCode, JobError, JobStatus
from shared.models.webhook import JobWebhook
from shared.storage.batch_contract import BATCH_SHARDS
from shared.storage.contract import shard_of
from shared.storage.firestore import fields as read
from shared.storage.firestore.protobuf import Message
from shared.storage.firestore.values import set_time

SPEC_FIELDS: Final = (
    "tenant",
    "shard",
    "handler",
    "queue",
    "created_at",
    "expires_at",
    "timeout_seconds",
    "max_attempts",
    "labels",
    "webhook",
    "reduce",
    "traceparent",
)
ITEM_FIELDS: Final = ("started", "succeeded", "failed", "canceled", "expired")
STATE_FIELDS: Final = (
    "status",
    "total",
    *ITEM_FIELDS,
    "counts",
    "reduction",
    "reduction_output",
    "sealed_at",
    "finished_at",
    "cancel_requested_at",
    "deleted_at",
    "revision",
    "expire_at",
)
"""What an update writes or deletes."""
LARGE_FIELDS: Final = frozenset({*ITEM_FIELDS, "webhook", "traceparent", "reduction_output"})
"""What lists do without."""


def set_spec(fields: Message, spec: BatchSpec, *, listed: bool = True) -> None:
    """Fill in SPEC_FIELDS.

    listed: whether lists find the batch. Without a shard, no index has it.
    """
    fields["tenant"].string_value = spec.tenant
    if listed:
        fields["shard"].integer_value = shard_of(spec.id, BATCH_SHARDS)
    fields["handler"].string_value = spec.handler
    fields["queue"].string_value = spec.queue
    set_time(fields, "created_at", spec.created_at)
    set_time(fields, "expires_at", spec.expires_at)
    fields["timeout_seconds"].double_value = spec.timeout_seconds
    fields["max_attempts"].integer_value = spec.max_attempts
    if spec.labels:
        _set_json(fields, "labels", dict(spec.labels))
    if spec.webhook is not None:
        _set_json(fields, "webhook", spec.webhook.members())
    if spec.reduce is not None:
        _set_json(fields, "reduce", {**asdict(spec.reduce), "options": orjson.Fragment(spec.reduce.options)})
    if spec.traceparent is not None:
        fields["traceparent"].string_value = spec.traceparent


def set_state(fields: Message, batch: Batch, *, expire_at: int) -> None:
    """Fill in STATE_FIELDS. expire_at: when the document may vanish, milliseconds."""
    fields["status"].string_value = batch.status
    fields["total"].integer_value = batch.total
    for name in ITEM_FIELDS:
        bits: int = getattr(batch.items, name)
        if bits:
            fields[name].bytes_value = bitmap.to_bytes(bits)
    _set_json(fields, "counts", asdict(batch.counts))
    if batch.reduction is not None:
        _set_reduction(fields, batch.reduction)
    for name, at in (
        ("sealed_at", batch.sealed_at),
        ("finished_at", batch.finished_at),
        ("cancel_requested_at", batch.cancel_requested_at),
        ("deleted_at", batch.deleted_at),
    ):
        if at is not None:
            set_time(fields, name, at)
    fields["revision"].integer_value = batch.revision
    set_time(fields, "expire_at", expire_at)


def _set_reduction(fields: Message, reduction: Reduction) -> None:
    error = reduction.error and asdict(reduction.error)
    _set_json(fields, "reduction", {"job": reduction.job, "status": reduction.status, "error": error})
    if reduction.output is not None:
        fields["reduction_output"].bytes_value = reduction.output


def batch_of(id: str, fields: Message) -> Batch:
    """The batch in a document's fields. What was not read is as if nobody had set it."""
    return Batch(
        spec=_spec_of(id, fields),
        status=BatchStatus(read.text(fields, "status")),
        total=read.integer(fields, "total"),
        items=Items(*(bitmap.from_bytes(read.data(fields, name)) for name in ITEM_FIELDS)),
        reduction=_reduction_of(fields) if "reduction" in fields else None,
        sealed_at=read.optional_time(fields, "sealed_at"),
        finished_at=read.optional_time(fields, "finished_at"),
        cancel_requested_at=read.optional_time(fields, "cancel_requested_at"),
        deleted_at=read.optional_time(fields, "deleted_at"),
        revision=read.integer(fields, "revision"),
    )


def counts_of(fields: Message) -> Counts:
    return Counts(**_json(fields, "counts"))


def _spec_of(id: str, fields: Message) -> BatchSpec:
    reduce = _json(fields, "reduce")
    return BatchSpec(
        id=id,
        tenant=read.text(fields, "tenant"),
        handler=read.text(fields, "handler"),
        queue=read.text(fields, "queue"),
        created_at=read.time(fields, "created_at"),
        expires_at=read.time(fields, "expires_at"),
        timeout_seconds=read.real(fields, "timeout_seconds"),
        max_attempts=read.integer(fields, "max_attempts"),
        labels=_json(fields, "labels"),
        webhook=JobWebhook.of(_json(fields, "webhook") or None),
        reduce=ReduceSpec(**{**reduce, "options": orjson.dumps(reduce["options"])}) if reduce else None,
        traceparent=read.optional_text(fields, "traceparent"),
    )


def _reduction_of(fields: Message) -> Reduction:
    record = _json(fields, "reduction")
    error = record["error"]
    return Reduction(
        job=record["job"],
        status=JobStatus(record["status"]),
        output=read.optional_data(fields, "reduction_output"),
        error=JobError(**{**error, "code": ErrorCode(error["code"])}) if error else None,
    )


def _set_json(fields: Message, name: str, value: Mapping[str, Any]) -> None:
    fields[name].bytes_value = orjson.dumps(value)


def _json(fields: Message, name: str) -> Any:
    """An empty object where the field is absent."""
    return orjson.loads(read.data(fields, name) or b"{}")
