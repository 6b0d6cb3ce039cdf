"""Batches as aggregators keep them: merged, concluded, settled, told of once, and written about once a second."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from shared.messaging.contract import Message
from shared.messaging.memory import Outage
from shared.models.batch import Batch, BatchStatus
from shared.models.envelope import Envelope
from shared.models.event import job_event
from shared.models.job import Job, JobStatus, Lane
from tests.unit.services.aggregator.bench import NAMES, Bench


@asynccontextmanager
async def bench(instances: int = 1, **changes: Any) -> AsyncIterator[Bench]:
    made = Bench(changes)
    for _ in range(instances):
        await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def told_all(b: Bench, batch: Batch, count: int, status: JobStatus = JobStatus.SUCCEEDED) -> None:
    for index in range(count):
        await b.tell_of(await b.finish(batch, index, status))


async def test_a_batch_is_over_once_every_item_is() -> None:
    async with bench() as b:
        batch = await b.open()
        await b.seal(batch, 3)
        await told_all(b, batch, 2)
        await b.advance(3)
        assert (await b.stored(batch)).counts.succeeded == 2
        assert not (await b.stored(batch)).status.terminal
        await b.tell_of(await b.finish(batch, 2, JobStatus.FAILED))
        await b.advance(3)
        after = await b.stored(batch)
        assert (after.status, after.counts.succeeded, after.counts.failed) == (BatchStatus.COMPLETED, 2, 1)
        assert b.ends_told(batch) == [f"{batch.spec.id}:batch.completed"]
        assert b.waiting() == 0
        kept = await b.cache.fetch(batch.spec.id)
        assert kept is not None
        assert kept.terminal


async def test_items_may_be_over_before_the_seal() -> None:
    async with bench() as b:
        batch = await b.open()
        await told_all(b, batch, 3)
        await b.advance(3)
        assert (await b.stored(batch)).status is BatchStatus.OPEN
        await b.seal(batch, 3)
        await b.advance(3)
        assert (await b.stored(batch)).status is BatchStatus.COMPLETED


async def test_a_start_shows_the_item_as_running() -> None:
    async with bench() as b:
        batch = await b.open()
        await b.seal(batch, 2)
        job = await b.begin(batch, 1)
        await b.tell_of(job)
        await b.advance(2)
        assert (await b.stored(batch)).counts.running == 1
        await b.tell_of(await b.end(job))
        await b.advance(2)
        assert (await b.stored(batch)).counts.running == 0


async def test_nothing_but_its_items_changes_a_batch() -> None:
    async with bench() as b:
        batch, other = await b.open(), await b.open()
        await b.seal(batch, 2)
        job = await b.finish(batch, 0)
        event = job_event(job, source="worker", at=b.clock.now())
        await b.tell(replace(event, data={**event.data, "index": 1}))  # its id says 0
        await b.tell(replace(event, batch=other.spec.id))
        await b.tell(replace(event, batch="bat_" + "0" * 40))
        await b.tell(replace(event, tenant="rival"))
        await b.advance(3)
        assert (await b.stored(batch)).counts.succeeded == 0
        assert (await b.stored(other)).counts.total == 0
        assert b.waiting() == 0


async def test_what_cannot_be_read_disturbs_nobody() -> None:
    async with bench() as b:
        batch = await b.open()
        await b.seal(batch, 1)
        b.broker.accept(NAMES.events, Message(b"not json"))
        await told_all(b, batch, 1)
        await b.advance(3)
        assert (await b.stored(batch)).status is BatchStatus.COMPLETED
        assert b.waiting() == 0


async def test_an_event_is_acknowledged_behind_the_write_and_not_before() -> None:
    async with bench() as b:
        batch = await b.open()
        await b.seal(batch, 2)
        await b.advance(3)
        b.database.fail()
        await b.tell_of(replace(ended_job(b, batch), finished_at=b.clock.now()))
        await b.advance(8)
        assert b.waiting() == 1
        b.database.heal()
        await b.advance(8)
        assert b.waiting() == 0
        assert (await b.stored(batch)).counts.succeeded == 1


def ended_job(b: Bench, batch: Batch) -> Job:
    spec = batch.spec.item(b.item_id(batch, 0), 0, b"1")
    running = Job.queued(spec).claimed(attempt=1, fence="f", worker="w", lease_seconds=10, at=b.clock.now())
    return running.succeeded(b"1", at=b.clock.now())


async def test_an_end_that_was_not_told_is_told_again_under_the_same_id() -> None:
    async with bench() as b:
        batch = await b.open()
        await b.seal(batch, 1)
        await b.advance(3)
        await told_all(b, batch, 1)
        b.batches.on_write = lambda: setattr(b.broker, "outage", Outage.UNREACHABLE)
        await b.advance(3)
        assert (await b.stored(batch)).status is BatchStatus.COMPLETED
        b.batches.on_write = lambda: None
        b.broker.outage = None
        assert b.ends_told(batch) == []
        await b.advance(15)
        assert b.ends_told(batch) == [f"{batch.spec.id}:batch.completed"]
        assert b.waiting() == 0


@pytest.mark.parametrize("instances", [1, 3])
async def test_a_hot_batch_is_written_about_once_a_second(instances: int) -> None:
    async with bench(instances, events=50) as b:
        batch = await b.open()
        await b.seal(batch, 1_000)
        for index in range(400):
            await b.tell_of(await b.finish(batch, index))
            if index % 8 == 0:
                await b.advance(0.5)
        written = b.batches.written[batch.spec.id]
        assert (await b.stored(batch)).counts.succeeded > 300
        assert len(written) <= 25 * 1.2 + 4 * instances
        await b.advance(20)
        assert (await b.stored(batch)).counts.succeeded == 400


async def test_one_instance_never_writes_twice_within_a_second() -> None:
    async with bench() as b:
        batch = await b.open()
        await b.seal(batch, 100)
        for index in range(100):
            await b.tell_of(await b.finish(batch, index))
            await b.advance(0.1, step=0.05)
        await b.advance(3)
        written = b.batches.written[batch.spec.id]
        assert all(later - earlier > 0.999 for earlier, later in itertools.pairwise(written))
        assert (await b.stored(batch)).status is BatchStatus.COMPLETED


# Settling


async def test_a_lost_event_is_made_up_for_after_silence() -> None:
    async with bench(silence_seconds=60.0) as b:
        batch = await b.open()
        await b.seal(batch, 3)
        await told_all(b, batch, 2)
        await b.finish(batch, 2)  # nobody is told
        await b.advance(50)
        assert not (await b.stored(batch)).status.terminal
        await b.advance(20)
        assert (await b.stored(batch)).status is BatchStatus.COMPLETED


async def test_silence_ends_nothing() -> None:
    async with bench() as b:
        batch = await b.open()
        await b.seal(batch, 3)
        await told_all(b, batch, 1)
        await b.begin(batch, 1)
        await b.advance(600, step=1)
        counts = (await b.stored(batch)).counts
        assert (counts.succeeded, counts.queued) == (1, 2)


async def test_a_cancel_ends_what_has_not_begun_and_keeps_what_was_done() -> None:
    async with bench() as b:
        batch = await b.open()
        await b.seal(batch, 5)
        await told_all(b, batch, 2)
        running = await b.begin(batch, 2)
        await b.cancel(batch)
        await b.advance(4)
        between = await b.stored(batch)
        assert (between.counts.succeeded, between.counts.canceled) == (2, 2)
        assert not between.status.terminal
        asked = await b.jobs.read(running.spec.id)
        assert asked is not None
        assert asked.value.cancel_requested_at is not None
        await b.tell_of(await b.end(asked.value, JobStatus.CANCELED))
        await b.advance(4)
        after = await b.stored(batch)
        assert (after.status, after.counts.canceled, after.counts.succeeded) == (BatchStatus.CANCELED, 3, 2)
        await b.advance(30)
        assert b.waiting() == 0
        assert b.ends_told(batch) == [f"{batch.spec.id}:batch.canceled"]


async def test_the_deadline_ends_what_has_not_begun_and_waits_for_what_runs() -> None:
    async with bench() as b:
        batch = await b.open(lives_ms=60_000)
        await b.seal(batch, 4)
        await told_all(b, batch, 1)
        await b.advance(90, step=1)
        running = await b.begin(batch, 1, lease_seconds=600)
        await b.deadline(batch)
        await b.advance(5)
        assert (await b.stored(batch)).counts.expired == 2
        await b.tell_of(await b.end(running, JobStatus.EXPIRED))
        await b.advance(30)
        after = await b.stored(batch)
        assert (after.status, after.counts.expired, after.counts.succeeded) == (BatchStatus.EXPIRED, 3, 1)
        assert b.waiting() == 0


async def test_the_deadline_takes_over_from_a_worker_that_is_gone() -> None:
    async with bench() as b:
        batch = await b.open(lives_ms=60_000)
        await b.seal(batch, 1)
        await b.begin(batch, 0, lease_seconds=10)
        await b.advance(90, step=1)
        await b.deadline(batch)
        await b.advance(5)
        assert (await b.stored(batch)).status is BatchStatus.EXPIRED


async def test_an_upload_that_never_ended_expires_with_what_there_is() -> None:
    async with bench() as b:
        batch = await b.open(lives_ms=60_000)
        await told_all(b, batch, 2)
        await b.advance(90, step=1)
        await b.deadline(batch)
        await b.advance(5)
        after = await b.stored(batch)
        assert (after.status, after.counts.succeeded, after.counts.total) == (BatchStatus.EXPIRED, 2, 2)


async def test_a_cancel_ends_an_upload_with_what_there_is() -> None:
    async with bench() as b:
        batch = await b.open()
        await told_all(b, batch, 2)
        await b.advance(3)
        await b.cancel(batch)
        await b.advance(15)
        after = await b.stored(batch)
        assert (after.status, after.counts.succeeded, after.counts.total) == (BatchStatus.CANCELED, 2, 2)
        assert b.waiting() == 0


async def test_a_cancel_of_many_items_goes_on_after_a_kill() -> None:
    async with bench() as b:
        batch = await b.open()
        await b.seal(batch, 1_300)
        await b.cancel(batch)
        await b.clock.advance(0.3)
        await b.instances[0].kill()
        await b.start()
        await b.advance(30)
        after = await b.stored(batch)
        assert (after.status, after.counts.canceled) == (BatchStatus.CANCELED, 1_300)


# Reducing


async def reduce_job(b: Bench) -> Job | None:
    found = b.broker.undelivered(NAMES.reader(NAMES.jobs("texts", Lane.BULK), "worker"))
    specs = {Envelope.decode(message.body).spec.id: Envelope.decode(message.body).spec for message in found}
    assert len(specs) <= 1
    return Job.queued(next(iter(specs.values()))) if specs else None


async def test_the_items_are_reduced_when_they_are_over_and_the_answer_ends_the_batch() -> None:
    async with bench(2) as b:
        batch = await b.open(reduce=True)
        await b.seal(batch, 2)
        await told_all(b, batch, 1)
        await b.advance(3)
        assert await reduce_job(b) is None
        await b.tell_of(await b.finish(batch, 1))
        await b.advance(3)
        queued = await reduce_job(b)
        assert queued is not None
        assert (queued.spec.handler, queued.spec.batch, queued.spec.index) == ("sum", batch.spec.id, None)
        running = queued.claimed(attempt=1, fence="f", worker="w", lease_seconds=9, at=b.clock.now())
        await b.jobs.create(running)
        await b.tell_of(running)
        await b.advance(3)
        assert not (await b.stored(batch)).status.terminal
        await b.tell_of(await b.end(running, output=b"42"))
        await b.advance(3)
        after = await b.stored(batch)
        assert after.status is BatchStatus.COMPLETED
        assert after.reduction is not None
        assert (after.reduction.status, after.reduction.output) == (JobStatus.SUCCEEDED, b"42")
        assert b.ends_told(batch) == [f"{batch.spec.id}:batch.completed"]


async def test_a_reduction_whose_end_nobody_heard_of_is_found() -> None:
    async with bench() as b:
        batch = await b.open(reduce=True)
        await b.seal(batch, 1)
        await told_all(b, batch, 1)
        await b.advance(3)
        queued = await reduce_job(b)
        assert queued is not None
        running = queued.claimed(attempt=1, fence="f", worker="w", lease_seconds=9, at=b.clock.now())
        await b.jobs.create(running)
        await b.end(running, JobStatus.FAILED)
        await b.advance(90, step=1)
        after = await b.stored(batch)
        assert (after.status, after.reduction and after.reduction.status) == (BatchStatus.COMPLETED, JobStatus.FAILED)


async def test_a_canceled_batch_is_not_reduced() -> None:
    async with bench() as b:
        batch = await b.open(reduce=True)
        await b.seal(batch, 2)
        await told_all(b, batch, 1)
        await b.cancel(batch)
        await b.advance(10)
        assert (await b.stored(batch)).status is BatchStatus.CANCELED
        assert await reduce_job(b) is None


async def test_a_cancel_reaches_a_reduction_that_has_not_begun() -> None:
    async with bench() as b:
        batch = await b.open(reduce=True)
        await b.seal(batch, 1)
        await told_all(b, batch, 1)
        await b.advance(3)
        await b.cancel(batch)
        await b.advance(15)
        after = await b.stored(batch)
        assert (after.status, after.counts.succeeded) == (BatchStatus.CANCELED, 1)


async def test_a_cache_that_is_lost_costs_nothing_but_the_wake_up() -> None:
    async with bench() as b:
        b.cache.stop()
        batch = await b.open()
        await b.seal(batch, 1)
        await told_all(b, batch, 1)
        await b.advance(3)
        assert (await b.stored(batch)).status is BatchStatus.COMPLETED
        assert b.waiting() == 0
