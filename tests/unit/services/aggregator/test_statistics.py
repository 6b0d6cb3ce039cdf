"""What aggregators count, and how they sum it up."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.aggregator.roll_up import RollUp
from shared.models.event import Event, job_event
from shared.models.job import ErrorCode, Job, JobError, JobSpec, JobStatus
from shared.models.statistics import EVERYONE, MAX_HANDLERS, OTHERS, Shard, Step, Tally, quantile, together
from shared.models.usage import usage_event
from tests.unit.services.aggregator.bench import HOUR, Bench, bench, ended

FAR = 2**45


def spec(b: Bench, number: int = 0, **changed: Any) -> JobSpec:
    now = b.clock.now()
    made = JobSpec(f"job_{number}", "acme", "text.stats", "texts", b"1", now - 3_000, now + HOUR, 30.0, 5)
    return replace(made, **changed)


def over(
    b: Bench, number: int, status: JobStatus = JobStatus.SUCCEEDED, *, run_ms: int = 2_000, **changed: Any
) -> Event:
    """A job that was accepted 3 s before now, started 1 s after that and ran for so long."""
    asked = spec(b, number, **changed)
    started = asked.created_at + 1_000
    job = Job.queued(asked).claimed(attempt=1, fence="f", worker="w", lease_seconds=9, at=started)
    return job_event(ended(job, status, started + run_ms), source="worker", at=b.clock.now())


async def counted(b: Bench, tenant: str = "acme", handler: str = "text.stats") -> Tally:
    shards = await shards_of(b, tenant)
    return together(shard.tallies for shard in shards).get(handler, Tally())


async def shards_of(b: Bench, tenant: str = "acme") -> Sequence[Shard]:
    return await b.statistics.page(tenant, start=0, end=FAR, after=None, limit=1_000)


async def test_ends_are_counted_by_handler_and_outcome_with_their_times() -> None:
    async with bench() as b:
        for number in range(10):
            await b.tell(over(b, number, run_ms=100 if number < 9 else 5_000))
        await b.tell(over(b, 11, JobStatus.FAILED))
        await b.tell(over(b, 12, JobStatus.CANCELED))
        await b.tell(over(b, 13, handler="image.thumbnail"))
        await b.tell(over(b, 14, tenant="rival"))
        await b.advance(6)
        tally = await counted(b)
        assert tally.counts == {"succeeded": 10, "failed:rejected": 1, "canceled": 1}
        p50, p99 = quantile(tally.run_time, 0.5), quantile(tally.run_time, 0.99)
        assert p50 is not None
        assert p99 is not None
        assert (abs(p50 - 100) <= 1, sum(tally.run_time.values())) == (True, 11)
        queued = quantile(tally.queue_time, 0.5)
        assert queued is not None
        assert abs(queued - 1_000) <= 10
        assert (await counted(b, EVERYONE)).counts["succeeded"] == 11
        assert (await counted(b, handler="image.thumbnail")).counts == {"succeeded": 1}
        assert b.waiting() == 0


async def test_retries_and_usage_and_batches_are_counted() -> None:
    async with bench() as b:
        job = Job.queued(spec(b)).claimed(attempt=1, fence="f", worker="w", lease_seconds=9, at=b.clock.now())
        error = JobError(ErrorCode.HANDLER_ERROR, "no", retryable=True)
        waiting = job.waiting(error, until=b.clock.now() + 5, at=b.clock.now())
        await b.tell(job_event(waiting, source="worker", at=b.clock.now()))
        usage = {("acme", "text.stats"): {"submitted": 7, "cache_hits": 2}, ("rival", "text.stats"): {"submitted": 1}}
        await b.tell(usage_event("one", usage, at=b.clock.now()))
        await b.seal(await b.open(), 40)
        await b.advance(6)
        assert (await counted(b)).counts == {"retries": 1, "submitted": 47, "cache_hits": 2}
        assert (await counted(b, "rival")).counts == {"submitted": 1}
        assert (await counted(b, EVERYONE)).counts["submitted"] == 48


async def test_a_job_of_several_attempts_says_nothing_of_the_queue() -> None:
    async with bench() as b:
        event = over(b, 1)
        await b.tell(replace(event, data={**event.data, "attempt": 3}))
        await b.advance(6)
        tally = await counted(b)
        assert (tally.queue_time, sum(tally.run_time.values())) == ({}, 1)


async def test_what_comes_again_to_one_instance_is_counted_once() -> None:
    async with bench() as b:
        event = over(b, 1)
        await b.tell(event)
        await b.advance(6)
        await b.tell(event)
        await b.advance(6)
        assert (await counted(b)).counts == {"succeeded": 1}
        assert b.waiting() == 0


async def test_a_store_that_is_away_counts_nothing_twice() -> None:
    async with bench() as b:
        await b.tell(over(b, 1))
        await b.advance(6)
        b.database.fail()
        await b.tell(over(b, 2))
        await b.advance(10)
        assert b.waiting() == 1
        b.database.heal()
        await b.advance(20)
        assert (await counted(b)).counts == {"succeeded": 2}
        assert b.waiting() == 0


async def test_what_a_crash_makes_come_again_is_counted_again_at_most() -> None:
    async with bench() as b:
        for number in range(5):
            await b.tell(over(b, number))
        await b.advance(1)
        await b.instances[0].kill()
        await b.start()
        await b.advance(30)
        succeeded = (await counted(b)).counts["succeeded"]
        assert 5 <= succeeded <= 10
        assert b.waiting() == 0


async def test_several_instances_write_documents_of_their_own() -> None:
    async with bench(3, events=4) as b:
        for number in range(60):
            await b.tell(over(b, number))
        await b.advance(60)
        assert (await counted(b)).counts == {"succeeded": 60}
        assert len({shard.id for shard in await shards_of(b)}) > 1


async def test_a_document_is_written_no_more_than_once_in_its_seconds() -> None:
    async with bench(statistics_seconds=2.0) as b:
        writes: list[float] = []
        put = b.statistics.put

        async def noted(shard: Shard) -> None:
            if shard.tenant == "acme":
                writes.append(b.clock.monotonic())
            await put(shard)

        b.statistics.put = noted  # type: ignore[method-assign]
        for number in range(100):
            await b.tell(over(b, number, created_at=b.clock.now()))
            await b.advance(0.2, step=0.1)
        await b.advance(5)
        assert (await counted(b)).counts == {"succeeded": 100}
        assert len(writes) <= 14


async def test_handlers_beyond_the_most_are_counted_together() -> None:
    async with bench() as b:
        for number in range(MAX_HANDLERS + 20):
            await b.tell(over(b, number, handler=f"h{number}"))
        await b.advance(10)
        [shard] = await shards_of(b)
        assert len(shard.tallies) <= MAX_HANDLERS + 1
        assert shard.tallies[OTHERS].counts["succeeded"] >= 20
        assert sum(tally.counts["succeeded"] for tally in shard.tallies.values()) == MAX_HANDLERS + 20


# Summing up


def roll_up(b: Bench, hours: int = 6) -> RollUp:
    days = 90 * 24 * HOUR
    return RollUp(b.statistics, b.clock, minutes_ms=hours * HOUR, hours_ms=days, every_seconds=300, chance=lambda: 0.5)


async def test_old_minutes_become_hours_and_every_count_stays() -> None:
    b = Bench()
    now = b.clock.now()
    for number in range(300):
        tenant = ("acme", "rival")[number % 2]
        shard = Shard(
            f"m{number}", tenant, Step.MINUTE, now - number * 300_000, {"h": Tally({"succeeded": 1})}, now + HOUR
        )
        await b.statistics.put(shard)
    before = [await counted(b, tenant, "h") for tenant in ("acme", "rival")]
    assert await roll_up(b).turn() > 200
    assert [await counted(b, tenant, "h") for tenant in ("acme", "rival")] == before
    shards = await shards_of(b)
    newest_hour = max(shard.at for shard in shards if shard.step is Step.HOUR)
    assert newest_hour + HOUR <= Step.HOUR.start(now - 6 * HOUR) + HOUR
    assert all(shard.at >= Step.HOUR.start(now - 6 * HOUR) for shard in shards if shard.step is Step.MINUTE)
    assert await roll_up(b).turn() == 0


async def test_a_minute_that_comes_late_is_added_to_its_hour() -> None:
    b = Bench()
    at = Step.HOUR.start(b.clock.now() - 10 * HOUR)
    for number in range(3):
        await b.statistics.put(
            Shard(f"m{number}", "acme", Step.MINUTE, at, {"h": Tally({"succeeded": 1})}, b.clock.now())
        )
        assert await roll_up(b).turn() == 1
    [hour] = await shards_of(b)
    assert (hour.step, hour.tallies["h"].counts) == (Step.HOUR, {"succeeded": 3})
