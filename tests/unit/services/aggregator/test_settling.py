"""What never reports is settled, and what is over is reduced."""

from shared.models.batch import BatchStatus
from shared.models.envelope import Envelope
from shared.models.job import Job, JobStatus, Lane
from tests.unit.services.aggregator.bench import NAMES, Bench, bench, told_all


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
