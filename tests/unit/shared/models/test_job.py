"""The job's state machine: orders only grow, histories are kept, envelopes survive the wire."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.models.envelope import Envelope, MalformedEnvelope
from shared.models.event import job_event
from shared.models.job import MAX_ATTEMPT_RECORDS, ErrorCode, Job, JobError, JobSpec, JobStatus, Lane
from shared.models.public import render, snapshot, unclaimed

NOW = 1_750_000_000_000
SPEC = JobSpec(
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
FAULT = JobError(ErrorCode.HANDLER_ERROR, "ValueError: no", retryable=True)


def claimed(job: Job, attempt: int) -> Job:
    return job.claimed(attempt=attempt, fence=f"f{attempt}{job.lost}", worker="w", lease_seconds=15, at=NOW + attempt)


def test_orders_grow_along_every_path() -> None:
    first = claimed(Job.queued(SPEC), 1)
    lost = claimed(first, 1)
    waiting = lost.waiting(FAULT, until=NOW + 9, at=NOW + 5)
    second = claimed(waiting, 2)
    cancelling = second.cancel_requested(at=NOW + 6)
    path = [Job.queued(SPEC), first, lost, waiting, second, cancelling, cancelling.canceled(at=NOW + 7)]
    orders = [job.order for job in path]
    assert orders == sorted(set(orders))


@pytest.mark.parametrize("status", [each for each in JobStatus if each.terminal])
def test_terminal_outranks_everything_of_its_attempt(status: JobStatus) -> None:
    running = replace(claimed(Job.queued(SPEC), 1), lost=500, cancel_requested_at=NOW)
    assert replace(running, status=status, lost=0, cancel_requested_at=None).order > running.order


def test_a_lapsed_lease_counts_as_lost_and_a_released_one_does_not() -> None:
    running = claimed(Job.queued(SPEC), 1)
    assert claimed(running, 1).lost == 1
    assert claimed(running.released(), 1).lost == 0


def test_the_last_failed_attempts_are_remembered() -> None:
    job = Job.queued(SPEC)
    for attempt in range(1, MAX_ATTEMPT_RECORDS + 4):
        job = claimed(job, attempt).waiting(FAULT, until=NOW, at=NOW + attempt)
    assert [each.attempt for each in job.attempts] == list(range(4, MAX_ATTEMPT_RECORDS + 4))


def test_a_job_renders_as_the_api_shows_it() -> None:
    failed = claimed(Job.queued(SPEC), 1).failed(FAULT, at=NOW + 10)
    shown = orjson.loads(render(failed))
    assert shown["status"] == "failed"
    assert shown["error"]["code"] == "handler_error"
    assert shown["error"]["attempts"][0]["attempt"] == 1
    assert shown["created_at"] == "2025-06-15T15:06:40.000Z"
    assert shown["urls"]["cancel"] == "/v1/jobs/job_1/cancel"
    assert "input" not in shown


def test_output_bytes_are_passed_on_unparsed() -> None:
    done = claimed(Job.queued(SPEC), 1).succeeded(b'{"b":1,"a":1.0}', at=NOW)
    assert b'"output":{"b":1,"a":1.0}' in snapshot(done).body


def test_an_unclaimed_job_shows_the_same_fields_as_any_other() -> None:
    known = orjson.loads(render(Job.queued(SPEC)))
    bare = unclaimed(SPEC.id, created_at=NOW, expires_at=NOW + 10, now=NOW)
    assert list(orjson.loads(bare.body)) == list(known)
    assert bare.order == Job.queued(SPEC).order
    late = unclaimed(SPEC.id, created_at=NOW, expires_at=NOW + 10, now=NOW + 10)
    assert late.terminal
    assert orjson.loads(late.body)["status"] == "expired"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(
    value=json_values,
    attempt=st.integers(1, 100),
    lane=st.sampled_from(Lane),
    labels=st.dictionaries(st.text(min_size=1, max_size=10), st.text(max_size=10), max_size=3),
    scheduled_for=st.none() | st.integers(0, 2**47),
)
def test_an_envelope_survives_the_wire(value, attempt, lane, labels, scheduled_for) -> None:  # type: ignore[no-untyped-def]
    spec = replace(SPEC, input=orjson.dumps(value), lane=lane, labels=labels, scheduled_for=scheduled_for)
    assert Envelope.decode(Envelope(spec, attempt).encode()) == Envelope(spec, attempt)


def test_fields_of_a_later_version_are_ignored() -> None:
    body = orjson.dumps({**orjson.loads(Envelope(SPEC).encode()), "colour": "blue"})
    assert Envelope.decode(body) == Envelope(SPEC)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"v":2}', b"\xff", b'{"v":1,"attempt":"x"}', b"null"])
def test_what_is_no_envelope_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedEnvelope):
        Envelope.decode(body)


def test_attributes_stay_within_what_the_broker_takes() -> None:
    traced = replace(SPEC, traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    attributes = Envelope(traced, 2).attributes
    assert attributes["attempt"] == "2"
    assert attributes["traceparent"] == traced.traceparent
    assert all(len(value) <= 1024 for value in attributes.values())
    assert "traceparent" not in Envelope(SPEC).attributes


def test_an_event_has_the_same_id_however_often_it_is_made() -> None:
    done = claimed(Job.queued(SPEC), 1).succeeded(b"1", at=NOW + 3)
    first, again = (job_event(done, source="worker", at=at) for at in (NOW + 4, NOW + 400))
    assert first == again
    assert first.id == "job_1:job.succeeded:1"
    assert "output" not in orjson.loads(first.encode())["data"]
