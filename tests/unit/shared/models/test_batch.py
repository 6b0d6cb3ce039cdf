"""Batches: whatever is heard, in whatever order and however often, comes to the same and ends at the right moment."""

from collections.abc import Sequence
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.models import bitmap
from shared.models.batch import (
    MAX_ITEMS,
    Batch,
    BatchEntry,
    BatchSpec,
    BatchStatus,
    ReduceSpec,
    Reduction,
    forget_at,
    kept_until,
)
from shared.models.batch_items import Items
from shared.models.batch_public import batch_snapshot, end_event, render_batch, render_batch_entry
from shared.models.event import Event
from shared.models.job import JobStatus, Lane, Retention
from shared.models.public import with_progress

AT = 1_750_000_000_000
HOUR = 3_600_000
SPEC = BatchSpec("bat_1", "acme", "text.stats", "texts", AT, AT + HOUR, timeout_seconds=30.0, max_attempts=5)
REDUCE = ReduceSpec("sum", "texts", b'{"field":"words"}', timeout_seconds=60.0, max_attempts=3)
ENDS = ("succeeded", "failed", "canceled", "expired")

Report = tuple[int, str, bool]
"""An item, its outcome, and whether it is only said to have started."""


def heard(reports: Sequence[Report]) -> Items:
    """What these reports say, as one."""

    def saying(outcome: str) -> int:
        return bitmap.of(index for index, end, started in reports if end == outcome and not started)

    return Items(
        started=bitmap.of(index for index, _, started in reports if started),
        **{outcome: saying(outcome) for outcome in ENDS},
    )


@st.composite
def histories(draw: st.DrawFn) -> tuple[dict[int, str], list[list[Report]]]:
    """The truth of every item, and reports of all of them: doubled, shuffled, and cut into windows."""
    total = draw(st.integers(1, 60))
    truth = {index: draw(st.sampled_from(ENDS)) for index in range(total)}
    reports = [(index, end, started) for index, end in truth.items() for started in (True, False)]
    doubled = reports + draw(st.lists(st.sampled_from(reports), max_size=60))
    shuffled = draw(st.permutations(doubled))
    cuts = sorted(draw(st.lists(st.integers(0, len(shuffled)), max_size=8)))
    return truth, [shuffled[start:end] for start, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]


@given(history=histories(), seal=st.integers(0, 9))
def test_any_order_duplication_and_split_is_the_same_batch_in_the_end(
    history: tuple[dict[int, str], list[list[Report]]], seal: int
) -> None:
    truth, windows = history
    batch = Batch(SPEC)
    for number, window in enumerate(windows):
        if number == seal:
            batch = batch.sealed(len(truth), at=AT + 5)
        batch = batch.merged(heard(window))
    batch = batch.sealed(len(truth), at=AT + 5).concluded(at=AT + 9)
    everything = heard([(index, end, False) for index, end in truth.items()])
    assert replace(batch.items, started=0) == everything
    assert batch.counts.queued == batch.counts.running == 0
    for end in ENDS:
        assert getattr(batch.counts, end) == sum(1 for each in truth.values() if each == end)
    assert batch.status is (BatchStatus.EXPIRED if "expired" in truth.values() else BatchStatus.COMPLETED)


@given(history=histories(), parts=st.integers(1, 5))
def test_what_several_heard_merges_to_what_one_would_have_heard(
    history: tuple[dict[int, str], list[list[Report]]], parts: int
) -> None:
    _, windows = history
    several = [Items() for _ in range(parts)]
    one = Items()
    for number, window in enumerate(windows):
        several[number % parts] |= heard(window)
        one |= heard(window)
    merged = Items()
    for each in reversed(several):
        merged |= each
    assert merged == one


@given(history=histories())
def test_it_is_over_exactly_when_every_item_is(history: tuple[dict[int, str], list[list[Report]]]) -> None:
    truth, windows = history
    batch = Batch(SPEC).sealed(len(truth), at=AT)
    known: set[int] = set()
    for window in windows:
        batch = batch.merged(heard(window)).concluded(at=AT + 1)
        known |= {index for index, _, started in window if not started}
        assert batch.status.terminal == (known == set(truth))
        counts = batch.counts
        assert counts.total == len(truth)
        parts = (counts.queued, counts.running, counts.succeeded, counts.failed, counts.canceled, counts.expired)
        assert sum(parts) == counts.total
        assert bitmap.full(counts.total) & ~bitmap.of(known) == batch.missing


@given(left=st.builds(Items, *[st.integers(0, 2**40)] * 5), right=st.builds(Items, *[st.integers(0, 2**40)] * 5))
def test_merging_commutes_and_twice_is_once_even_where_reports_disagree(left: Items, right: Items) -> None:
    assert left | right == right | left
    assert left | right | right == left | right
    counts = (left | right).counts(41)
    assert counts.total == counts.queued + counts.running + (left | right).over.bit_count()


def test_items_beyond_the_seal_do_not_count() -> None:
    batch = Batch(SPEC).merged(Items(succeeded=0b1111)).sealed(2, at=AT)
    assert (batch.counts.total, batch.counts.succeeded) == (2, 2)


def test_an_open_batch_counts_what_it_has_heard_of() -> None:
    batch = Batch(SPEC).merged(Items(started=0b100))
    assert (batch.counts.total, batch.counts.running, batch.counts.queued) == (3, 1, 2)
    assert batch.received(10).counts.total == 10
    assert batch.concluded(at=AT) is batch
    assert Batch(SPEC).sealed(2, at=AT).received(10).total == 2


def test_a_report_that_says_nothing_new_changes_nothing() -> None:
    batch = Batch(SPEC).sealed(4, at=AT).merged(Items(succeeded=1))
    assert batch.merged(Items(succeeded=1)) is batch
    over = batch.merged(Items(failed=0b1110)).concluded(at=AT)
    assert over.merged(Items(failed=1)) is over
    assert over.sealed(5, at=AT) is over
    assert over.cancel_requested(at=AT) is over


def test_a_cancel_that_stops_nothing_cancels_nothing() -> None:
    batch = Batch(SPEC).sealed(2, at=AT).cancel_requested(at=AT + 1)
    assert batch.merged(Items(succeeded=0b11)).concluded(at=AT).status is BatchStatus.COMPLETED
    assert batch.merged(Items(succeeded=1, canceled=2)).concluded(at=AT).status is BatchStatus.CANCELED
    unasked = Batch(SPEC).sealed(2, at=AT).merged(Items(succeeded=1, canceled=2))
    assert unasked.concluded(at=AT).status is BatchStatus.COMPLETED  # an item canceled by itself


def test_a_reduction_is_waited_for() -> None:
    batch = Batch(replace(SPEC, reduce=REDUCE)).sealed(1, at=AT)
    assert not batch.wants_reduction
    batch = batch.merged(Items(succeeded=1))
    assert batch.wants_reduction
    assert batch.concluded(at=AT) is batch
    batch = batch.reducing(Reduction("job_r"))
    assert batch.wants_reduction
    done = batch.reducing(Reduction("job_r", JobStatus.SUCCEEDED, b"7"))
    assert done.reducing(Reduction("job_r", JobStatus.FAILED)) is done
    over = done.concluded(at=AT + 3)
    assert (over.status, over.finished_at, over.wants_reduction) == (BatchStatus.COMPLETED, AT + 3, False)
    assert orjson.loads(render_batch(over))["reduce"] == {
        "handler": "sum",
        "job": "job_r",
        "status": "succeeded",
        "output": 7,
        "error": None,
    }


@pytest.mark.parametrize(
    ("items", "end"),
    [(Items(succeeded=1, canceled=2), BatchStatus.CANCELED), (Items(succeeded=1, expired=2), BatchStatus.EXPIRED)],
)
def test_what_was_stopped_is_not_reduced(items: Items, end: BatchStatus) -> None:
    batch = Batch(replace(SPEC, reduce=REDUCE)).sealed(2, at=AT).cancel_requested(at=AT).merged(items)
    assert not batch.wants_reduction
    assert batch.concluded(at=AT).status is end


def test_a_canceled_reduction_cancels_its_batch() -> None:
    batch = Batch(replace(SPEC, reduce=REDUCE)).sealed(1, at=AT).merged(Items(succeeded=1)).cancel_requested(at=AT)
    over = batch.reducing(Reduction("job_r", JobStatus.CANCELED)).concluded(at=AT)
    assert over.status is BatchStatus.CANCELED


def test_the_order_grows_with_each_state_and_marks_the_last() -> None:
    batch = Batch(SPEC)
    states = [batch, batch.received(1)]
    states += [states[-1].merged(Items(started=1))]
    states += [states[-1].sealed(1, at=AT)]
    states += [states[-1].merged(Items(succeeded=1))]
    states += [states[-1].concluded(at=AT)]
    snapshots = [batch_snapshot(each) for each in states]
    orders = [each.order for each in snapshots]
    assert orders == sorted(set(orders))
    assert [each.final for each in snapshots] == [False] * 5 + [True]
    assert [with_progress(each, each.order >> 12, b"1") for each in snapshots] == [each.body for each in snapshots]
    assert batch_snapshot(replace(batch, revision=2**40)).order < 2**53 - 1


def test_the_items_are_jobs_of_the_bulk_lane_that_know_their_batch() -> None:
    spec = replace(SPEC, labels={"team": "a"}, reduce=REDUCE)
    item, reduction = spec.item("job_1", 7, b"1"), spec.reduction("job_2")
    assert (item.lane, item.batch, item.index, item.labels) == (Lane.BULK, "bat_1", 7, {"team": "a"})
    assert (reduction.lane, reduction.batch, reduction.index, reduction.input) == (
        Lane.BULK,
        "bat_1",
        None,
        REDUCE.options,
    )
    assert item.expires_at < reduction.expires_at <= spec.created_at + spec.lifetime_ms


def test_a_list_shows_it_without_the_answer_of_its_reduction() -> None:
    batch = Batch(replace(SPEC, reduce=REDUCE), reduction=Reduction("job_r", JobStatus.SUCCEEDED, b"7"))
    shown = orjson.loads(render_batch_entry(BatchEntry(batch, batch.counts)))
    whole = orjson.loads(render_batch(batch))
    del whole["reduce"]["output"]
    assert shown == whole


@pytest.mark.parametrize(("output", "omitted"), [(b"7", False), (b'"' + b"x" * 9_000 + b'"', True)])
def test_its_end_is_one_event_that_consumers_can_be_sent(output: bytes, omitted: bool) -> None:
    batch = Batch(replace(SPEC, reduce=REDUCE)).sealed(1, at=AT).merged(Items(succeeded=1))
    over = batch.reducing(Reduction("job_r", JobStatus.SUCCEEDED, output)).concluded(at=AT + 7)
    event = Event.decode(end_event(over, source="aggregator").encode())
    assert (event.id, event.type, event.batch, event.time) == (
        "bat_1:batch.completed",
        "batch.completed",
        "bat_1",
        AT + 7,
    )
    assert event.data["reduce"]["output_omitted"] is omitted
    assert (event.data["reduce"]["output"] is None) is omitted


def test_a_stub_keeps_nothing_that_was_asked_or_answered() -> None:
    secret = replace(SPEC, labels={"k": "secret"}, reduce=replace(REDUCE, options=b'{"a":"secret"}'))
    batch = Batch(secret).sealed(1, at=AT).merged(Items(succeeded=1))
    over = batch.reducing(Reduction("job_r", JobStatus.SUCCEEDED, b'"secret"')).concluded(at=AT)
    stub = over.erased(at=AT + 5)
    assert "secret" not in repr(stub)
    assert stub.revision > over.revision


def test_it_is_kept_like_a_job() -> None:
    retention = Retention(succeeded_seconds=60, other_seconds=600)
    batch = Batch(SPEC).sealed(1, at=AT)
    completed = batch.merged(Items(failed=1)).concluded(at=AT + 5)
    assert kept_until(completed, retention) == AT + 5 + 60_000
    assert kept_until(batch, retention) == AT + HOUR + 600_000
    assert forget_at(completed, retention) > AT + HOUR + 7 * 86_400_000


def test_the_largest_batch_fits_a_document() -> None:
    full = bitmap.full(MAX_ITEMS)
    sizes = [len(bitmap.to_bytes(bits)) for bits in (full, full, full, full, full)]
    assert sum(sizes) < 100_000
