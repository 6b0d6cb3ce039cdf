"""Two aggregator processes on the real emulators: killed, frozen, and told everything twice and in no order."""

import asyncio
import random
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from deploy.local.backends import Backends
from shared.models.batch import BatchStatus
from shared.models.event import job_event
from shared.models.job import JobStatus
from shared.models.statistics import EVERYONE, Tally, together
from tests.integration.aggregator import bench as benches
from tests.integration.aggregator.bench import Bench, seconds_since

FAR = 2**42


@pytest_asyncio.fixture(scope="module")
async def bench(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    async with benches.bench(backends, tmp_path_factory.mktemp("aggregators")) as running:
        yield running


async def test_a_batch_is_what_its_jobs_say_and_is_written_about_once_a_second(bench: Bench) -> None:
    """R17, R18, R19: told everything in no order, by two at a time."""
    chance, total = random.Random(7), 600
    batch = await bench.open(total)
    started = time.monotonic()
    events = await bench.end_all(batch, range(total), chance)
    for at in range(0, len(events), 200):
        await bench.tell(*events[at : at + 200])
        await asyncio.sleep(0.3)  # it goes on for a while
    after = await bench.until_over(batch)
    elapsed = seconds_since(started)
    assert after.status is BatchStatus.COMPLETED
    await bench.is_what_the_jobs_say(batch, total)
    assert await bench.ends_told(batch) == {f"{batch.spec.id}:batch.completed"}
    assert after.revision <= 2 * (elapsed + 2) + 3  # two that write about once a second until they know of each other
    kept = await bench.cache.fetch(batch.spec.id)
    assert kept is not None
    assert kept.terminal


async def test_one_that_is_killed_in_the_middle_loses_and_doubles_nothing(bench: Bench) -> None:
    """R17, R18: what it held is told to the other."""
    chance, total = random.Random(8), 400
    batches = [await bench.open(total) for _ in range(2)]
    events = [event for batch in batches for event in await bench.end_all(batch, range(total), chance)]
    chance.shuffle(events)
    half = len(events) // 2
    await bench.tell(*events[:half])
    await bench.process(1).kill()
    await bench.tell(*events[half:])
    await bench.process(1).restart()
    for batch in batches:
        assert (await bench.until_over(batch)).status is BatchStatus.COMPLETED
        await bench.is_what_the_jobs_say(batch, total)
        assert await bench.ends_told(batch) == {f"{batch.spec.id}:batch.completed"}


async def test_one_that_is_frozen_past_its_leases_is_made_up_for_and_harms_nothing(bench: Bench) -> None:
    """R17, R18: and what it writes when it goes on is merged."""
    chance, total = random.Random(9), 200
    batch = await bench.open(total)
    events = await bench.end_all(batch, range(total), chance)
    await bench.tell(*events[: len(events) // 2])
    await bench.process(2).freeze()
    try:
        await bench.tell(*events[len(events) // 2 :])
        after = await bench.until_over(batch)
    finally:
        await bench.process(2).thaw()
    assert after.status is BatchStatus.COMPLETED
    await bench.is_what_the_jobs_say(batch, total)
    assert await bench.ends_told(batch) == {f"{batch.spec.id}:batch.completed"}


async def test_what_nobody_told_of_is_found_after_silence(bench: Bench) -> None:
    """R18: an event that is lost costs a batch time, not its end."""
    batch = await bench.open(3)
    jobs = [await bench.end(batch, index, JobStatus.SUCCEEDED) for index in range(3)]
    await bench.tell(job_event(jobs[0], source="worker", at=bench.clock.now()))
    assert (await bench.until_over(batch)).counts.succeeded == 3


async def test_a_cancel_ends_what_has_not_begun(bench: Bench) -> None:
    total = 700
    batch = await bench.open(total)
    done = [await bench.end(batch, index, JobStatus.SUCCEEDED) for index in range(3)]
    await bench.tell(*(job_event(job, source="worker", at=bench.clock.now()) for job in done[:2]))
    await bench.cancel(batch)
    after = await bench.until_over(batch)
    assert (after.status, after.counts.succeeded, after.counts.canceled) == (BatchStatus.CANCELED, 3, total - 3)
    await bench.is_what_the_jobs_say(batch, total)
    assert await bench.ends_told(batch) == {f"{batch.spec.id}:batch.canceled"}


async def test_the_deadline_ends_what_has_not_begun(bench: Bench) -> None:
    batch = await bench.open(50, lives_ms=1)
    await bench.end(batch, 0, JobStatus.SUCCEEDED)
    await bench.begin(batch, 1, lease_seconds=0)  # its worker has left
    await bench.deadline(batch)
    after = await bench.until_over(batch)
    assert (after.status, after.counts.succeeded, after.counts.expired) == (BatchStatus.EXPIRED, 1, 49)
    await bench.is_what_the_jobs_say(batch, 50)


async def test_what_was_told_is_counted(bench: Bench) -> None:
    found = Tally()

    async def counted() -> bool:
        nonlocal found
        shards = await bench.statistics.page(EVERYONE, start=0, end=FAR, after=None, limit=1_000)
        found = together(shard.tallies for shard in shards)["text.stats"]
        return found.counts.get("submitted", 0) >= 2_353

    await bench.until(counted)
    ends = found.counts["succeeded"] + found.counts["failed:rejected"]
    assert ends >= 1_600  # those that were told of; more where a kill made them come again
    assert sum(found.run_time.values()) == ends


async def test_it_leaves_in_time_and_what_it_held_is_not_lost(bench: Bench) -> None:
    chance, total = random.Random(10), 300
    batch = await bench.open(total)
    events = await bench.end_all(batch, range(total), chance)
    await bench.tell(*events)
    started = time.monotonic()
    exits = await asyncio.gather(bench.process(1).stop(), bench.process(2).stop())
    assert seconds_since(started) < 10
    assert [each is not None and each.code for each in exits] == [0, 0]
    await bench.process(1).restart()
    assert (await bench.until_over(batch)).status is BatchStatus.COMPLETED
    await bench.is_what_the_jobs_say(batch, total)
