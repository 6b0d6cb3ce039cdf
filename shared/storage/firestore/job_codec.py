"""A job as a document of `jobs`: the spec, written once, and the state, of which a transition writes what it changes.

`input` and `output` are JSON bytes. `shard` leads the list indexes (the stub of a deleted job has none); `labels` are
stored as `key=value` strings, which one index serves whatever the keys are (a map would need an index a key, and
refuses keys like `__name__`).
`dead_at` is there on dead letters alone, so that their indexes hold nothing else.
`replaces` holds the version that an update found, where nothing else need differ: Firestore keeps the old update time
for a write that changes nothing, and the renewal of a lease must count as a write.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import orjson

from shared.models.job import Attempt, ErrorCode, Job, JobError, JobSpec, JobStatus, Lane
from shared.models.webhook import JobWebhook
from shared.storage.contract import JOB_SHARDS, Version, shard_of
from shared.storage.firestore import fields as read
from shared.storage.firestore.protobuf import Message
from shared.storage.firestore.values import set_time

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


def _put_text(fields: Message, name: str, text: str) -> None:
    fields[name].string_value = text


def _put_name(fields: Message, name: str, text: str) -> None:
    if text:
        fields[name].string_value = text


def _put_integer(fields: Message, name: str, number: int) -> None:
    fields[name].integer_value = number


def _put_count(fields: Message, name: str, count: int) -> None:
    if count:
        fields[name].integer_value = count


def _put_data(fields: Message, name: str, data: bytes) -> None:
    fields[name].bytes_value = data


def _put_error(fields: Message, name: str, error: JobError) -> None:
    members = fields[name].map_value.fields
    members["code"].string_value = error.code
    members["message"].string_value = error.message
    members["retryable"].boolean_value = error.retryable


def _put_attempts(fields: Message, name: str, attempts: Sequence[Attempt]) -> None:
    for attempt in attempts:
        record = fields[name].array_value.values.add().map_value.fields
        record["attempt"].integer_value = attempt.attempt
        record["code"].string_value = attempt.code
        record["message"].string_value = attempt.message
        set_time(record, "started_at", attempt.started_at)
        set_time(record, "finished_at", attempt.finished_at)


_MEMBERS: Final[Mapping[str, Callable[[Message, str, Any], None]]] = {
    "status": _put_text,
    "attempt": _put_integer,
    "fence": _put_name,
    "worker": _put_name,
    "lease_seconds": _put_count,
    "lost": _put_count,
    "scheduled_for": set_time,
    "started_at": set_time,
    "finished_at": set_time,
    "output": _put_data,
    "error": _put_error,
    "attempts": _put_attempts,
    "cancel_requested_at": set_time,
    "deleted_at": set_time,
    "fingerprint": _put_text,
}
"""Those of a job that are fields of the same name, and how each is put there."""
_members: Final = attrgetter(*_MEMBERS)
_STATE: Final = {**_MEMBERS, "dead_at": set_time, "expire_at": set_time}
_PUTS: Final = {**_STATE, "replaces": _put_integer}
STATE_FIELDS: Final = tuple(_PUTS)
"""What an update writes or deletes, where it is not known what was there."""


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


State = Sequence[tuple[str, Any]]
"""Fields of a job's state, and what each holds."""


def state_of(job: Job, *, expire_at: int) -> State:
    """All of it. expire_at: when the document may vanish, milliseconds."""
    dead_at = None if job.fingerprint is None else job.finished_at
    return list(zip(_STATE, (*_members(job), dead_at, expire_at), strict=True))


def replacing(held: Version, state: State, *, before: State | None = None) -> State:
    """What of `state` an update of version `held` writes: all of it, or what differs from what was there before.

    An update must change something: only then is there a later version. What it replaced is always new.
    """
    replaced = ("replaces", held.updated_at)
    if before is None:
        return [*state, replaced]
    return [now for was, now in zip(before, state, strict=True) if was != now] or [replaced]


def set_state(fields: Message, state: State) -> None:
    """Fill in what holds something; an update deletes the rest."""
    for name, value in state:
        if value is not None:
            _PUTS[name](fields, name, value)


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
