"""What one version leaves behind and another one reads: R30 of `docs/guarantees.md`, codec by codec."""

from typing import Any, Final

import orjson
import pytest
from google.cloud.firestore_v1 import types

from shared.models.envelope import Envelope, MalformedEnvelope
from shared.models.event import Event, job_event
from shared.models.job import ErrorCode, Job, JobError, JobSpec
from shared.models.public import render
from shared.storage.firestore.job_codec import STATE_FIELDS, job_of, set_spec, set_state, state_of

Document: Any = types.Document.pb()
NOW: Final = 1_750_000_000_000
SPEC: Final = JobSpec(
    id="job_1",
    tenant="acme",
    handler="text.stats",
    queue="default",
    input=b'{"text":"x"}',
    created_at=NOW,
    expires_at=NOW + 86_400_000,
    timeout_seconds=30.0,
    max_attempts=3,
)
JOB: Final = Job.queued(SPEC).claimed(attempt=1, fence="f", worker="w", lease_seconds=15, at=NOW + 1)
NEEDED: Final = frozenset(
    {"v", "attempt", "id", "tenant", "handler", "queue", "lane", "created_at", "expires_at", "timeout_seconds"}
    | {"max_attempts", "input"}
)
LATER: Final = "a_code_of_a_later_version"


def test_r30_a_message_of_a_later_version_has_its_unknown_fields_ignored() -> None:
    """R30."""
    message = {**orjson.loads(Envelope(SPEC, 2).encode()), "from_a_later_version": {"deep": [1]}}
    assert Envelope.decode(orjson.dumps(message)) == Envelope(SPEC, 2)


def test_r30_a_message_of_the_first_version_is_complete() -> None:
    """R30: whatever was added since has a default."""
    message = orjson.loads(Envelope(SPEC).encode())
    first = {name: value for name, value in message.items() if name in NEEDED}
    assert Envelope.decode(orjson.dumps(first)) == Envelope(SPEC)


def test_r30_a_message_whose_meaning_changed_is_left_to_those_who_know_it() -> None:
    """R30: a later number says so; the message goes back and is neither run nor dropped."""
    message = {**orjson.loads(Envelope(SPEC).encode()), "v": 2}
    with pytest.raises(MalformedEnvelope, match=r"^MalformedEnvelope$"):
        Envelope.decode(orjson.dumps(message))


def test_r30_an_event_of_a_later_version_has_its_unknown_fields_ignored() -> None:
    """R30."""
    event = job_event(JOB, source="worker", at=NOW)
    told = {**orjson.loads(event.encode()), "from_a_later_version": 1}
    assert Event.decode(orjson.dumps(told)) == event
    del told["batch"]
    assert Event.decode(orjson.dumps(told)) == event


def test_r30_a_document_of_another_version_has_its_unknown_fields_ignored_and_misses_none() -> None:
    """R30."""
    document = _written(JOB)
    document.fields["from_a_later_version"].string_value = "x"
    for name in ("lane", "lost", "attempts"):
        if name in document.fields:
            del document.fields[name]
    assert job_of(SPEC.id, document.fields) == JOB


def test_r30_an_update_touches_only_what_this_version_knows() -> None:
    """R30: a later version's field is in no mask, so it stays."""
    assert "from_a_later_version" not in STATE_FIELDS
    assert set(_written(JOB).fields) - set(STATE_FIELDS) <= _spec_fields()


def test_r30_a_code_of_a_later_version_is_shown_as_it_is() -> None:
    """R30: an old gateway renders the same bytes as a new one, instead of failing."""
    failed = JOB.failed(JobError(ErrorCode.REJECTED, "no", retryable=False), at=NOW + 2)
    document = _written(failed)
    document.fields["error"].map_value.fields["code"].string_value = LATER
    document.fields["attempts"].array_value.values[0].map_value.fields["code"].string_value = LATER
    met = job_of(SPEC.id, document.fields)
    assert render(met) == render(failed).replace(b'"rejected"', b'"%b"' % LATER.encode())
    assert LATER not in set(ErrorCode)
    again = Document()
    set_state(again.fields, state_of(met, expire_at=NOW))
    assert again.fields["error"].map_value.fields["code"].string_value == LATER


def _spec_fields() -> set[str]:
    document = Document()
    set_spec(document.fields, SPEC)
    return set(document.fields)


def _written(job: Job) -> Any:
    document = Document()
    set_spec(document.fields, job.spec)
    set_state(document.fields, state_of(job, expire_at=NOW))
    return document
