"""A job as a document of `jobs`: the spec, written once, and the state, written again at each transition.

`input` and `output` are JSON bytes. `shard` leads the list indexes (the stub of a deleted job has none); `labels` are
stored as `key=value` strings, which one index serves whatever the keys are (a map would need an index a key, and
refuses keys like `__name__`).
`dead_at` is there on dead letters alone, so that their indexes hold nothing else.
`replaces` holds the version that an update found: Firestore keeps the old update time for a write that changes nothing,
and the renewal of a lease must count as a write.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import orjson

from shared.models.job import Attempt, ErrorCode, Job, JobError, JobSpec, JobStatus, Lane
from shared.models.webhook import JobWebhook
from shared.storage.contract import JOB_SHARDS, Version, shard_of
from shared.storage.firestore import fields as read
from shared.storage.firestore import writes
from shared.storage.firestore.protobuf import Message
from shared.storage.firestore.values import set_time

STATE_FIELDS: Final = (
    "status",
    "attempt",
    "fence",
    "worker",
    "lease_seconds",
    "lost",
    "scheduled_for",
    "started_at",
    "finished_at",
    "output",
    "error",
    "attempts",
    "cancel_requested_at",
    "deleted_at",
    "fingerprint",
    "dead_at",
    "expire_at",
    "replaces",
)
"""What an update writes or deletes."""

SPEC_FIELDS: Final = (
    "tenant",
    "shard",
    "handler",
    "queue",
    "lane",
    "input",
    "created_at",
    "expires_at",
    "timeout_seconds",
    "max_attempts",
    "run_at",
    "labels",
    "cache_key",
    "cache_for_seconds",
    "batch",
    "index",
    "replay_of",
    "traceparent",
    "webhook",
)
"""What only the creation writes."""


def set_spec(fields: Message, spec: JobSpec, *, listed: bool = True) -> None:
    """Fill in SPEC_FIELDS.

    listed: whether lists find the job. Without a shard, no index has it.
    """
    fields["tenant"].string_value = spec.tenant
    if listed:
        fields["shard"].integer_value = shard_of(spec.id, JOB_SHARDS)
    fields["handler"].string_value = spec.handler
    fields["queue"].string_value = spec.queue
    fields["lane"].string_value = spec.lane
    fields["input"].bytes_value = spec.input
    set_time(fields, "created_at", spec.created_at)
    set_time(fields, "expires_at", spec.expires_at)
    fields["timeout_seconds"].double_value = spec.timeout_seconds
    fields["max_attempts"].integer_value = spec.max_attempts
    _set_options(fields, spec)


def _set_options(fields: Message, spec: JobSpec) -> None:
    _set_optional_time(fields, "run_at", spec.scheduled_for)
    if spec.labels:
        values = fields["labels"].array_value.values
        for label in label_strings(spec.labels):
            values.add().string_value = label
    if spec.cache_for_seconds:
        fields["cache_for_seconds"].integer_value = spec.cache_for_seconds
    if spec.index is not None:
        fields["index"].integer_value = spec.index
    _set_optional_text(fields, "cache_key", spec.cache_key)
    _set_optional_text(fields, "batch", spec.batch)
    _set_optional_text(fields, "replay_of", spec.replay_of)
    _set_optional_text(fields, "traceparent", spec.traceparent)
    if spec.webhook is not None:
        fields["webhook"].bytes_value = orjson.dumps(spec.webhook.members())


def set_state(fields: Message, job: Job, *, expire_at: int, replaces: Version | None = None) -> None:
    """Fill in STATE_FIELDS.

    expire_at: when the document may vanish, milliseconds.
    replaces: the version that is updated.
    """
    fields["status"].string_value = job.status
    fields["attempt"].integer_value = job.attempt
    if job.fence:
        fields["fence"].string_value = job.fence
    if job.worker:
        fields["worker"].string_value = job.worker
    if job.lease_seconds:
        fields["lease_seconds"].integer_value = job.lease_seconds
    if job.lost:
        fields["lost"].integer_value = job.lost
    _set_optional_time(fields, "scheduled_for", job.scheduled_for)
    _set_optional_time(fields, "started_at", job.started_at)
    _set_optional_time(fields, "finished_at", job.finished_at)
    _set_optional_time(fields, "cancel_requested_at", job.cancel_requested_at)
    _set_optional_time(fields, "deleted_at", job.deleted_at)
    _set_outcome(fields, job)
    if job.fingerprint is not None:
        fields["fingerprint"].string_value = job.fingerprint
        _set_optional_time(fields, "dead_at", job.finished_at)
    set_time(fields, "expire_at", expire_at)
    writes.set_replaces(fields, replaces)


def _set_outcome(fields: Message, job: Job) -> None:
    if job.output is not None:
        fields["output"].bytes_value = job.output
    if job.error is not None:
        error = fields["error"].map_value.fields
        error["code"].string_value = job.error.code
        error["message"].string_value = job.error.message
        error["retryable"].boolean_value = job.error.retryable
    for attempt in job.attempts:
        record = fields["attempts"].array_value.values.add().map_value.fields
        record["attempt"].integer_value = attempt.attempt
        record["code"].string_value = attempt.code
        record["message"].string_value = attempt.message
        set_time(record, "started_at", attempt.started_at)
        set_time(record, "finished_at", attempt.finished_at)


def job_of(id: str, fields: Message) -> Job:
    """The job in a document's fields. What was not read is as if nobody had set it."""
    error = fields.get("error")
    attempts = fields.get("attempts")
    return Job(
        spec=_spec_of(id, fields),
        status=JobStatus(read.text(fields, "status")),
        attempt=read.integer(fields, "attempt"),
        fence=read.text(fields, "fence"),
        worker=read.text(fields, "worker"),
        lease_seconds=read.integer(fields, "lease_seconds"),
        lost=read.integer(fields, "lost"),
        scheduled_for=read.optional_time(fields, "scheduled_for"),
        started_at=read.optional_time(fields, "started_at"),
        finished_at=read.optional_time(fields, "finished_at"),
        output=read.optional_data(fields, "output"),
        error=None if error is None else _error_of(error.map_value.fields),
        attempts=()
        if attempts is None
        else tuple(_attempt_of(each.map_value.fields) for each in attempts.array_value.values),
        cancel_requested_at=read.optional_time(fields, "cancel_requested_at"),
        deleted_at=read.optional_time(fields, "deleted_at"),
        fingerprint=read.optional_text(fields, "fingerprint"),
    )


def _spec_of(id: str, fields: Message) -> JobSpec:
    labels = fields.get("labels")
    return JobSpec(
        id=id,
        tenant=read.text(fields, "tenant"),
        handler=read.text(fields, "handler"),
        queue=read.text(fields, "queue"),
        input=read.data(fields, "input"),
        created_at=read.time(fields, "created_at"),
        expires_at=read.time(fields, "expires_at"),
        timeout_seconds=read.real(fields, "timeout_seconds"),
        max_attempts=read.integer(fields, "max_attempts"),
        lane=Lane(read.text(fields, "lane", Lane.INTERACTIVE)),
        scheduled_for=read.optional_time(fields, "run_at"),
        labels={} if labels is None else labels_of(each.string_value for each in labels.array_value.values),
        cache_key=read.optional_text(fields, "cache_key"),
        cache_for_seconds=read.integer(fields, "cache_for_seconds"),
        batch=read.optional_text(fields, "batch"),
        index=read.optional_integer(fields, "index"),
        replay_of=read.optional_text(fields, "replay_of"),
        traceparent=read.optional_text(fields, "traceparent"),
        webhook=JobWebhook.of(orjson.loads(read.data(fields, "webhook") or b"null")),
    )


def _error_of(fields: Message) -> JobError:
    return JobError(
        code=ErrorCode.met(read.text(fields, "code")),
        message=read.text(fields, "message"),
        retryable=bool(fields["retryable"].boolean_value),
    )


def _attempt_of(fields: Message) -> Attempt:
    return Attempt(
        attempt=read.integer(fields, "attempt"),
        code=ErrorCode.met(read.text(fields, "code")),
        message=read.text(fields, "message"),
        started_at=read.time(fields, "started_at"),
        finished_at=read.time(fields, "finished_at"),
    )


def label_strings(labels: Mapping[str, str]) -> list[str]:
    """Each label as `key=value`, with `%` and `=` of the key percent-encoded. A list query looks for one of these."""
    return [f"{key.replace('%', '%25').replace('=', '%3D')}={value}" for key, value in labels.items()]


def labels_of(strings: Iterable[str]) -> dict[str, str]:
    """The labels that `label_strings` made these of."""
    pairs = (string.partition("=") for string in strings)
    return {key.replace("%3D", "=").replace("%25", "%"): value for key, _, value in pairs}


def _set_optional_time(fields: Message, name: str, at: int | None) -> None:
    if at is not None:
        set_time(fields, name, at)


def _set_optional_text(fields: Message, name: str, text: str | None) -> None:
    if text is not None:
        fields[name].string_value = text
