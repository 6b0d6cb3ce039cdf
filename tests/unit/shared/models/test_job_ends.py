"""Tombstones, stubs and progress: what jobs show that were canceled unseen or deleted, and what they show meanwhile."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ids import LIFETIME_UNIT_MS, IdKeys, Ids
from shared.models.event import job_event
from shared.models.job import ErrorCode, Job, JobError, JobSpec, JobStatus, Retention, is_running
from shared.models.public import deleted, render, render_entry, snapshot, unclaimed, with_progress

NOW = 1_750_000_000_000
DAY_MS = 86_400_000
SPEC = JobSpec("job_1", "acme", "text.stats", "default", b'{"text":"x"}', NOW, NOW + DAY_MS, 30.0, 3, labels={"a": "b"})
BARE = JobSpec.unknown("job_1", tenant="acme", created_at=NOW, expires_at=NOW + DAY_MS)
FAULT = JobError(ErrorCode.HANDLER_ERROR, "ValueError: a secret", retryable=True)
RUNNING = Job.queued(SPEC).claimed(attempt=2, fence="f", worker="w", lease_seconds=15, at=NOW + 1)
TOMBSTONE = Job.queued(BARE).canceled(at=NOW + 5)


def test_a_tombstone_shows_null_for_what_nobody_knows() -> None:
    shown, known = orjson.loads(render(TOMBSTONE)), orjson.loads(render(TOMBSTONE.completed(SPEC)))
    assert list(shown) == list(known)
    assert {name for name in shown if shown[name] != known[name]} == {"handler", "max_attempts", "labels"}
    assert (shown["handler"], shown["max_attempts"], shown["labels"]) == (None, None, None)
    assert (shown["status"], shown["started_at"]) == ("canceled", None)


def test_a_completed_tombstone_outranks_the_bare_one_and_both_what_came_before() -> None:
    orders = [Job.queued(SPEC).order, TOMBSTONE.order, TOMBSTONE.completed(SPEC).order]
    assert orders == sorted(set(orders))
    assert not snapshot(TOMBSTONE).final
    assert snapshot(TOMBSTONE.completed(SPEC)).final


def test_what_is_known_by_its_id_alone_is_never_final() -> None:
    late = unclaimed("job_1", created_at=NOW, expires_at=NOW + 10, now=NOW + 10)
    assert late.terminal
    assert not late.final
    assert snapshot(Job.queued(SPEC).expired(at=NOW + 10)).order > late.order


@pytest.mark.parametrize("status", [each for each in JobStatus if each.terminal])
def test_whatever_ran_is_final_at_its_end(status: JobStatus) -> None:
    over = replace(RUNNING, status=status, finished_at=NOW)
    assert snapshot(over).final
    assert over.order > RUNNING.cancel_requested(at=NOW).order


def test_the_event_of_a_tombstone_has_one_id_whoever_tells() -> None:
    told = job_event(TOMBSTONE.completed(SPEC), source="worker", at=NOW + 50)
    assert told.id == job_event(TOMBSTONE, source="gateway", at=NOW + 5).id == "job_1:job.canceled:0"
    assert told.time == NOW + 5


def test_a_stub_knows_nothing_that_was_said() -> None:
    failed = replace(RUNNING.failed(FAULT, at=NOW + 9), output=b'"secret"')
    stub = failed.erased(at=NOW + 20)
    for secret in ("secret", "text", "b'{"):
        assert secret not in str(stub).replace("text.stats", "")
    assert job_event(stub, source="worker", at=NOW).id == job_event(failed, source="worker", at=NOW).id
    assert stub.order == failed.order


def test_a_deleted_job_is_over_its_retention_and_its_stub_outlasts_its_messages() -> None:
    retention, done = Retention(), RUNNING.succeeded(b"1", at=NOW + 9)
    assert not retention.over(done, NOW + 10)
    assert retention.over(done.erased(at=NOW + 10), NOW + 10)
    assert retention.forget_at(done.erased(at=NOW + 10)) == retention.forget_at(done) > NOW + 8 * DAY_MS


def test_the_word_that_a_job_is_deleted_outranks_all_its_states() -> None:
    last = replace(RUNNING, attempt=1_000_000).succeeded(b"1", at=NOW)
    word = deleted("job_1")
    assert word.order > last.order
    assert word.order < 10**16, "as many digits as caches write"
    assert (word.terminal, word.final, word.deleted) == (True, False, True)


def test_a_list_shows_everything_but_the_output() -> None:
    done = RUNNING.succeeded(b'{"large":1}', at=NOW)
    whole = orjson.loads(render(done))
    del whole["output"]
    assert orjson.loads(render_entry(done)) == whole


PROGRESS = b'{"done":1,"total":null,"message":"\\"progress\\":null"}'


@given(text=st.text() | st.just('"progress":null'), labels=st.dictionaries(st.text(min_size=1), st.text()))
def test_progress_is_put_in_its_place_whatever_the_job_says(text: str, labels: dict[str, str]) -> None:
    spec = replace(SPEC, handler=text or "h", labels={**labels, '"progress":null': '"progress":null'})
    job = replace(RUNNING, spec=spec, error=replace(FAULT, message='"progress":null'))
    shown = orjson.loads(with_progress(snapshot(job), 2, PROGRESS))
    assert shown == {**orjson.loads(render(job)), "progress": orjson.loads(PROGRESS)}


@pytest.mark.parametrize(
    "job",
    [
        Job.queued(SPEC),
        RUNNING.waiting(FAULT, until=NOW, at=NOW),
        RUNNING.succeeded(b"1", at=NOW),
        replace(RUNNING, attempt=3),
    ],
)
def test_only_the_attempt_that_runs_shows_its_progress(job: Job) -> None:
    assert with_progress(snapshot(job), 2, PROGRESS) == render(job)


def test_running_is_read_from_the_order() -> None:
    assert is_running(RUNNING.order)
    assert is_running(replace(RUNNING, lost=500, cancel_requested_at=NOW).order)
    assert not any(is_running(job.order) for job in (Job.queued(SPEC), TOMBSTONE, RUNNING.succeeded(b"1", at=NOW)))


def test_an_id_issued_from_another_is_the_same_at_one_moment_only() -> None:
    ids = Ids(IdKeys({1: b"k" * 32}))
    origin = ids.issue("job", "acme", created_at=NOW, lifetime_ms=1).text

    def issue(name: str, at: int) -> str:
        return ids.issue_from("job", "acme", origin, name, created_at=at, lifetime_ms=5).text

    assert issue("1", NOW) == issue("1", NOW)
    assert len({issue("1", NOW), issue("2", NOW), issue("1", NOW + 1)}) == 3
    issued = ids.verify("job", "acme", issue("1", NOW + 7))
    assert issued is not None
    assert (issued.created_at, issued.expires_at) == (NOW + 7, NOW + 7 + LIFETIME_UNIT_MS)
