"""The fields of documents, and the indexes and exemptions that `deploy/firestore.indexes.json` declares for them."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.models.batch import Batch, BatchSpec, BatchStatus, ReduceSpec, Reduction
from shared.models.batch_items import Items
from shared.models.delivery import DeliveryState
from shared.models.job import Attempt, ErrorCode, Job, JobError, JobSpec, JobStatus, Lane
from shared.models.webhook import JobWebhook
from shared.storage.batch_contract import BatchFilter
from shared.storage.contract import JobFilter, Timer, Version
from shared.storage.dead_letters import DeadLetterFilter
from shared.storage.firestore import batch_codec, writes
from shared.storage.firestore.batches import CHUNK_FIELDS, batch_query
from shared.storage.firestore.catalogue import HANDLER_FIELDS
from shared.storage.firestore.dead_letters import dead_query
from shared.storage.firestore.deliveries import FIXED_FIELDS, LISTED_FIELDS, due_query, recoverable_query
from shared.storage.firestore.deliveries import STATE_FIELDS as DELIVERY_STATE_FIELDS
from shared.storage.firestore.deliveries import list_query as delivery_query
from shared.storage.firestore.endpoints import ENDPOINT_FIELDS, HEALTH_FIELDS, TENANT_FIELDS
from shared.storage.firestore.idempotency import REQUEST_FIELDS
from shared.storage.firestore.job_codec import SPEC_FIELDS, STATE_FIELDS, replacing, set_spec, set_state, state_of
from shared.storage.firestore.job_lists import SUMMARY_FIELDS, list_query
from shared.storage.firestore.keys import KEY_FIELDS
from shared.storage.firestore.protobuf import ASCENDING, CONTAINS, DESCENDING, EQUAL, BatchWriteRequest
from shared.storage.firestore.queues import QUEUE_FIELDS
from shared.storage.firestore.shard_leases import ALLOTMENT_FIELDS, TERM_FIELDS
from shared.storage.firestore.statistics import STATISTICS_FIELDS, old_query, shards_query
from shared.storage.firestore.timers import TIMER_FIELDS, set_timer
from shared.storage.webhook_contract import DeliveryFilter

DECLARED: Any = json.loads((Path(__file__).parents[4] / "deploy/firestore.indexes.json").read_text())
FIELDS = {
    "jobs": {*SPEC_FIELDS, *STATE_FIELDS},
    "timers": set(TIMER_FIELDS),
    "idempotency": set(REQUEST_FIELDS),
    "handlers": set(HANDLER_FIELDS),
    "keys": set(KEY_FIELDS),
    "queues": set(QUEUE_FIELDS),
    "terms": set(TERM_FIELDS),
    "allotments": set(ALLOTMENT_FIELDS),
    "deliveries": {*FIXED_FIELDS, *DELIVERY_STATE_FIELDS},
    "webhooks": set(ENDPOINT_FIELDS),
    "webhook_tenants": set(TENANT_FIELDS),
    "webhook_health": set(HEALTH_FIELDS),
    "batches": {*batch_codec.SPEC_FIELDS, *batch_codec.STATE_FIELDS},
    "chunks": set(CHUNK_FIELDS),
    "stats": set(STATISTICS_FIELDS),
}

FULL = Job(
    spec=JobSpec(
        id="job_1",
        tenant="t",
        handler="h",
        queue="q",
        input=b"1",
        created_at=1,
        expires_at=2,
        timeout_seconds=1,
        max_attempts=1,
        lane=Lane.BULK,
        scheduled_for=1,
        labels={"a": "b"},
        cache_key="c",
        cache_for_seconds=1,
        batch="b",
        index=0,
        replay_of="r",
        traceparent="t",
        webhook=JobWebhook("https://example.com", frozenset()),
    ),
    status=JobStatus.RUNNING,
    attempt=1,
    fence="f",
    worker="w",
    lease_seconds=1,
    lost=1,
    scheduled_for=1,
    started_at=1,
    finished_at=1,
    output=b"1",
    error=JobError(ErrorCode.REJECTED, "", retryable=True),
    attempts=(Attempt(1, ErrorCode.REJECTED, "", 1, 2),),
    cancel_requested_at=1,
    deleted_at=1,
    fingerprint="f",
)


def test_a_spec_fills_the_fields_that_only_a_creation_writes() -> None:
    fields = writes.create(BatchWriteRequest(), "jobs/job_1")
    set_spec(fields, FULL.spec)
    assert set(fields) == set(SPEC_FIELDS)


def test_a_state_fills_the_fields_that_an_update_writes() -> None:
    fields = writes.create(BatchWriteRequest(), "jobs/job_1")
    set_state(fields, replacing(Version(1), state_of(FULL, expire_at=1)))
    assert set(fields) == set(STATE_FIELDS)


def test_an_update_writes_what_differs_and_deletes_what_is_gone() -> None:
    before = state_of(replace(FULL, output=None, lost=0), expire_at=1)
    changed = replacing(Version(7), state_of(replace(FULL, error=None), expire_at=2), before=before)
    assert {name for name, _ in changed} == {"lost", "output", "error", "expire_at"}
    fields = writes.create(BatchWriteRequest(), "jobs/job_1")
    set_state(fields, changed)
    assert set(fields) == {"lost", "output", "expire_at"}


def test_an_update_that_changes_nothing_says_what_it_replaces() -> None:
    state = state_of(FULL, expire_at=1)
    assert replacing(Version(7), state, before=state) == [("replaces", 7)]


def test_spec_and_state_share_no_field() -> None:
    assert not set(SPEC_FIELDS) & set(STATE_FIELDS)


def test_a_timer_fills_its_fields() -> None:
    fields = writes.create(BatchWriteRequest(), "timers/job_1:1")
    set_timer(fields, Timer("job_1:1", 1, "t", b"1", {}))
    assert set(fields) == set(TIMER_FIELDS)


def exemptions() -> Iterator[tuple[str, str]]:
    for override in DECLARED["fieldOverrides"]:
        assert override["indexes"] == []
        yield override["collectionGroup"], override["fieldPath"]


def test_no_field_is_declared_twice() -> None:
    assert len(list(exemptions())) == len(set(exemptions()))


@pytest.mark.parametrize(
    "collection", ["jobs", "timers", "idempotency", "deliveries", "webhook_health", "batches", "chunks", "stats"]
)
def test_no_field_of_a_hot_collection_has_an_index_of_its_own(collection: str) -> None:
    """An index on each rising time, fence or output would bound writes and be paid for, and no query would use it."""
    assert {field for group, field in exemptions() if group == collection} == FIELDS[collection]


def test_what_is_declared_exists() -> None:
    for group, field in exemptions():
        assert field in FIELDS[group]
    for index in DECLARED["indexes"]:
        assert {field["fieldPath"] for field in index["fields"]} <= FIELDS[index["collectionGroup"]]


def test_what_grows_with_the_work_vanishes_by_itself() -> None:
    ttls = [(each["collectionGroup"], each["fieldPath"]) for each in DECLARED["fieldOverrides"] if each.get("ttl")]
    assert sorted(ttls) == [
        ("batches", "expire_at"),
        ("chunks", "expire_at"),
        ("deliveries", "expire_at"),
        ("idempotency", "expire_at"),
        ("jobs", "expire_at"),
        ("stats", "expire_at"),
        ("terms", "expire_at"),
    ]


SPREADS = {"shard", "endpoint", "subject"}
"""What leads an index on a rising time: an endpoint is called a few times a second, a job is the subject of a few.
A tenant has statistics of a few documents a minute."""


def test_every_index_on_a_rising_time_is_led_by_what_spreads_it() -> None:
    for index in DECLARED["indexes"]:
        paths = [field["fieldPath"] for field in index["fields"]]
        spreads = SPREADS | ({"tenant"} if index["collectionGroup"] == "stats" else set())
        assert spreads & set(paths[:-1])
        assert paths[-1] in {"created_at", "dead_at", "due_at", "at"}


def fields_of(query: Any) -> list[dict[str, str]]:
    """The index that a query needs: its equalities, then its order."""
    conditions = [each.field_filter for each in query.where.composite_filter.filters]
    orders = [each for each in query.order_by if each.field.field_path != "__name__"]
    ordered = {each.field.field_path for each in orders}
    paths = [each.field.field_path for each in conditions if each.field.field_path not in ordered]
    selecting = [{"fieldPath": path, "order": "ASCENDING"} for path in paths]
    directions = {DESCENDING: "DESCENDING", ASCENDING: "ASCENDING"}
    return [
        *selecting,
        *({"fieldPath": each.field.field_path, "order": directions[each.direction]} for each in orders),
    ]


LISTS = [
    DeliveryFilter("t", **parts, state=state)
    for parts in ({"endpoint": "e"}, {"subject": "s"})
    for state in (None, DeliveryState.HELD)
]


@pytest.mark.parametrize(
    "query", [due_query([1], 1, 1), recoverable_query("e", 1, 1), *(delivery_query(each, 1) for each in LISTS)]
)
def test_every_query_for_deliveries_has_its_index(query: Any) -> None:
    wanted = {"collectionGroup": "deliveries", "queryScope": "COLLECTION", "fields": fields_of(query)}
    assert wanted in DECLARED["indexes"]


def test_a_log_reads_no_bodies() -> None:
    assert set(FIXED_FIELDS) | set(DELIVERY_STATE_FIELDS) == {*LISTED_FIELDS, "body", "replaces"}


@pytest.mark.parametrize("status", [None, BatchStatus.RUNNING])
def test_every_query_for_a_list_of_batches_has_its_index(status: BatchStatus | None) -> None:
    query = batch_query(BatchFilter("t", status), shard=0, limit=1)
    wanted = {"collectionGroup": "batches", "queryScope": "COLLECTION", "fields": fields_of(query)}
    assert wanted in DECLARED["indexes"]


def test_a_batch_fills_its_fields_and_its_stub_is_in_no_index() -> None:
    spec = BatchSpec(
        "bat_1", "t", "h", "q", 1, 2, 1.0, 1, {"a": "b"}, FULL.spec.webhook, ReduceSpec("r", "q", b"{}", 1.0, 1), "t"
    )
    fields = writes.create(BatchWriteRequest(), "batches/bat_1")
    batch_codec.set_spec(fields, spec)
    assert set(fields) == set(batch_codec.SPEC_FIELDS)
    stub = writes.create(BatchWriteRequest(), "batches/bat_1")
    batch_codec.set_spec(stub, spec, listed=False)
    assert set(fields) - set(stub) == {"shard"}
    state = writes.create(BatchWriteRequest(), "batches/bat_1")
    reduction = Reduction("job_r", output=b"1")
    batch = Batch(spec, BatchStatus.OPEN, 1, Items(1, 1, 1, 1, 1), reduction, 1, 1, 1, 1, 1)
    batch_codec.set_state(state, batch, expire_at=1)
    assert set(state) == set(batch_codec.STATE_FIELDS)
    assert not set(batch_codec.SPEC_FIELDS) & set(batch_codec.STATE_FIELDS)


def test_the_query_for_due_timers_has_its_index() -> None:
    fields = [{"fieldPath": "shard", "order": "ASCENDING"}, {"fieldPath": "due_at", "order": "ASCENDING"}]
    assert {"collectionGroup": "timers", "queryScope": "COLLECTION", "fields": fields} in DECLARED["indexes"]


COMBINATIONS = list(itertools.product((None, JobStatus.FAILED), (None, "h"), (None, ("a", "b")), (None, 1), (None, 2)))


DEAD = list(itertools.product((None, "t"), (None, "h"), (None, "f" * 16), (None, 1), (None, 2)))


@pytest.mark.parametrize("parts", COMBINATIONS)
def test_every_query_for_a_list_of_jobs_has_its_index(parts: Any) -> None:
    query = list_query(JobFilter("t", *parts), shard=0, limit=1)
    kinds = {EQUAL: {"order": "ASCENDING"}, CONTAINS: {"arrayConfig": "CONTAINS"}}
    conditions = [each.field_filter for each in query.where.composite_filter.filters]
    selecting = [{"fieldPath": each.field.field_path, **kinds[each.op]} for each in conditions if each.op in kinds]
    ranged = {each.field.field_path for each in conditions if each.op not in kinds}
    assert ranged <= {"created_at"}
    assert [(each.field.field_path, each.direction) for each in query.order_by] == [
        ("created_at", DESCENDING),
        ("__name__", DESCENDING),  # as every index ends, in the direction of its last field
    ]
    fields = [*selecting, {"fieldPath": "created_at", "order": "DESCENDING"}]
    assert {"collectionGroup": "jobs", "queryScope": "COLLECTION", "fields": fields} in DECLARED["indexes"]


@pytest.mark.parametrize("parts", DEAD)
def test_every_query_for_dead_letters_has_its_index(parts: Any) -> None:
    query = dead_query(DeadLetterFilter(*parts), shard=0, limit=1)
    conditions = [each.field_filter for each in query.where.composite_filter.filters]
    equal = [each.field.field_path for each in conditions if each.op == EQUAL]
    assert {each.field.field_path for each in conditions if each.op != EQUAL} <= {"dead_at"}
    assert [each.field.field_path for each in query.order_by] == ["dead_at", "__name__"]
    fields = [{"fieldPath": field, "order": "ASCENDING"} for field in equal]
    fields.append({"fieldPath": "dead_at", "order": "DESCENDING"})
    assert {"collectionGroup": "jobs", "queryScope": "COLLECTION", "fields": fields} in DECLARED["indexes"]


def test_a_job_that_is_no_dead_letter_is_in_no_index_of_them() -> None:
    fields = writes.create(BatchWriteRequest(), "jobs/job_1")
    set_state(fields, state_of(replace(FULL, fingerprint=None), expire_at=1))
    assert not {"dead_at", "fingerprint"} & set(fields)


def test_a_list_reads_nothing_large() -> None:
    assert set(SPEC_FIELDS) | set(STATE_FIELDS) == {
        *SUMMARY_FIELDS,
        "input",
        "output",
        "traceparent",
        "replaces",
        "dead_at",
        "webhook",
    }


def test_a_stub_is_in_no_index_of_lists() -> None:
    fields = writes.create(BatchWriteRequest(), "jobs/job_1")
    set_spec(fields, FULL.spec, listed=False)
    assert set(SPEC_FIELDS) - set(fields) == {"shard"}


@pytest.mark.parametrize("query", [shards_query("t", 1, 2, 1), old_query(1, 1, 1)])
def test_every_query_for_statistics_has_its_index(query: Any) -> None:
    wanted = {"collectionGroup": "stats", "queryScope": "COLLECTION", "fields": fields_of(query)}
    assert wanted in DECLARED["indexes"]
