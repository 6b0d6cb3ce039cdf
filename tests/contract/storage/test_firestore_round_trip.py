"""Every field of every document, through the emulator and back, whatever is in it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import DocumentRefused
from shared.models.handler import HandlerEntry
from shared.models.job import Attempt, ErrorCode, Job, JobError, JobSpec, JobStatus, Lane
from shared.models.key import SCOPES, ApiKey
from shared.models.webhook import JobWebhook
from shared.storage.contract import Timer, Version
from shared.storage.firestore.job_codec import label_strings, labels_of
from tests.contract.storage.samples import new_id, running
from tests.contract.storage.storage_subject import Subject, firestore_subject

LAST_MS = 253_402_300_799_999
"""The end of the year 9999, which is the end of Firestore's time."""

texts = st.text(max_size=50)
times = st.integers(min_value=0, max_value=LAST_MS)
counts = st.integers(min_value=0, max_value=2**63 - 1)
seconds = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
data = st.binary(max_size=200)
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
schemas = st.dictionaries(texts, json, max_size=4)

SPEC: dict[str, st.SearchStrategy[Any]] = {
    "id": st.builds(new_id),
    "tenant": texts,
    "handler": texts,
    "queue": texts,
    "input": data,
    "created_at": times,
    "expires_at": st.integers(min_value=0, max_value=LAST_MS // 2),
    "timeout_seconds": seconds,
    "max_attempts": counts,
    "lane": st.sampled_from(Lane),
    "scheduled_for": st.none() | times,
    "labels": st.dictionaries(texts, texts, max_size=5),
    "cache_key": st.none() | texts,
    "cache_for_seconds": counts,
    "batch": st.none() | texts,
    "index": st.none() | counts,
    "replay_of": st.none() | texts,
    "traceparent": st.none() | texts,
    "webhook": st.none() | st.builds(JobWebhook, texts, st.frozensets(texts, max_size=3)),
}
specs = st.builds(JobSpec, **SPEC)
codes = st.sampled_from(ErrorCode)
JOB: dict[str, st.SearchStrategy[Any]] = {
    "spec": specs,
    "status": st.sampled_from(JobStatus),
    "attempt": counts,
    "fence": texts,
    "worker": texts,
    "lease_seconds": counts,
    "lost": counts,
    "scheduled_for": st.none() | times,
    "started_at": st.none() | times,
    "finished_at": st.none() | st.integers(min_value=0, max_value=LAST_MS // 2),
    "output": st.none() | data,
    "error": st.none() | st.builds(JobError, codes, texts, st.booleans()),
    "attempts": st.lists(st.builds(Attempt, counts, codes, texts, times, times), max_size=10).map(tuple),
    "cancel_requested_at": st.none() | times,
    "deleted_at": st.none() | times,
    "fingerprint": st.none() | texts,
}
jobs = st.builds(Job, **JOB)
TIMER: dict[str, st.SearchStrategy[Any]] = {
    "id": st.builds(new_id),
    "due_at": times,
    "topic": texts,
    "body": data,
    "attributes": st.dictionaries(texts, texts, max_size=5),
}
timers = st.builds(Timer, **TIMER)
ENTRY: dict[str, st.SearchStrategy[Any]] = {
    "name": st.builds(new_id, st.just("handler")),
    "queue": texts,
    "version": texts,
    "input_schema": schemas,
    "output_schema": schemas,
    "timeout_seconds": seconds,
    "max_attempts": counts,
    "cache_for_seconds": counts,
    "description": texts,
    "reduces": st.booleans(),
}
entries = st.builds(HandlerEntry, **ENTRY)
KEY: dict[str, st.SearchStrategy[Any]] = {
    "id": st.builds(new_id, st.just("key")),
    "tenant": texts,
    "secret_sha256": data,
    "scopes": st.frozensets(st.sampled_from(sorted(SCOPES))),
    "requests_per_second": st.none() | counts,
    "burst": st.none() | counts,
    "expires_at": st.none() | times,
    "revoked_at": st.none() | times,
    "name": texts,
    "created_at": st.none() | times,
    "previous_sha256": st.none() | data,
    "previous_until": st.none() | times,
}
keys = st.builds(ApiKey, **KEY)

through_the_emulator = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
async def store(firestore_address: str) -> AsyncIterator[Subject]:
    async with firestore_subject(firestore_address) as subject:
        yield subject


@pytest.mark.parametrize(
    ("kind", "drawn"), [(JobSpec, SPEC), (Job, JOB), (Timer, TIMER), (HandlerEntry, ENTRY), (ApiKey, KEY)]
)
def test_every_field_is_drawn(kind: Any, drawn: dict[str, Any]) -> None:
    """A new field that is left out here could be lost unseen."""
    assert {field.name for field in fields(kind)} == set(drawn)


@through_the_emulator
@given(several=st.lists(jobs, min_size=1, max_size=5), then=jobs)
async def test_jobs(store: Subject, several: list[Job], then: Job) -> None:
    versions = await asyncio.gather(*map(store.jobs.create, several))
    for job, version in zip(several, versions, strict=True):
        found = await store.jobs.read(job.spec.id)
        assert found is not None
        assert (found.value, found.version) == (job, version)
    assert isinstance(versions[0], Version)
    updated = replace(then, spec=several[0].spec)
    assert isinstance(await store.jobs.update(updated, versions[0]), Version)
    found = await store.jobs.read(updated.spec.id)
    assert found is not None
    assert found.value == updated


@through_the_emulator
@given(timer=timers)
async def test_timers(store: Subject, timer: Timer) -> None:
    version = await store.timers.create(timer)
    assert isinstance(version, Version)
    assert await store.timers.next_due(timer.shard) == timer.due_at
    [found] = await store.timers.due([timer.shard], until=timer.due_at, limit=10)
    assert (found.value, found.version) == (timer, version)
    await store.timers.delete(timer.id, version)


@through_the_emulator
@given(entry=entries)
async def test_handlers(store: Subject, entry: HandlerEntry) -> None:
    await store.catalogue.announce([entry])
    assert entry in await store.catalogue.entries()


@through_the_emulator
@given(key=keys)
async def test_keys(store: Subject, key: ApiKey) -> None:
    await store.keys.put(key)
    assert await store.keys.find(key.id) == key


@given(labels=st.dictionaries(texts, texts))
def test_labels(labels: dict[str, str]) -> None:
    strings = label_strings(labels)
    assert labels_of(strings) == labels
    assert len(set(strings)) == len(labels)


async def test_what_firestore_cannot_hold_is_refused(store: Subject) -> None:
    job = running()
    for impossible in (replace(job, worker="\ud800"), replace(job, lost=2**63), replace(job, started_at=LAST_MS + 1)):
        with pytest.raises(DocumentRefused):
            await store.jobs.create(impossible)
    assert await store.jobs.read(job.spec.id) is None
