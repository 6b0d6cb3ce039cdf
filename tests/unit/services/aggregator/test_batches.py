"""Batches as aggregators keep them: merged, concluded, settled, told of once, and written about once a second."""

import itertools
from dataclasses import replace

import pytest

from shared.messaging.contract import Message
from shared.messaging.memory import Outage
from shared.models.batch import Batch, BatchStatus
from shared.models.event import job_event
from shared.models.job import Job, JobStatus
from tests.unit.services.aggregator.bench import NAMES, Bench, bench, told_all


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
    """R19: by all instances together, once they know of each other."""
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
    """R19."""
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


async def test_a_cache_that_is_lost_costs_nothing_but_the_wake_up() -> None:
    async with bench() as b:
        b.cache.stop()
        batch = await b.open()
        await b.seal(batch, 1)
        await told_all(b, batch, 1)
        await b.advance(3)
        assert (await b.stored(batch)).status is BatchStatus.COMPLETED
        assert b.waiting() == 0
