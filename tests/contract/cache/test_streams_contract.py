"""What `StreamWriter` and `Streams` promise, on both caches."""

import asyncio
import random
from collections.abc import Callable, Sequence

import pytest

from shared.cache.contract import Position, Report, StreamEntry
from shared.cache.lifetimes import FOLLOW_TTL_SECONDS, STREAM_BYTES, STREAM_REPORTS, STREAM_TTL_SECONDS
from tests.contract.cache.cache_subject import state
from tests.contract.cache.streams_subject import News, output, progress
from tests.contract.cache.waiting import soon


async def everything(news: News, job: str) -> Sequence[StreamEntry]:
    return await news.streams.after(job, None, limit=2 * STREAM_REPORTS)


def said(entries: Sequence[StreamEntry]) -> list[Report]:
    return [entry.report for entry in entries]


def numbers(entries: Sequence[StreamEntry]) -> list[int]:
    return [entry.position.number for entry in entries]


async def test_nothing_is_known_of_a_job_that_reported_nothing(news: News, job: str) -> None:
    assert list(await everything(news, job)) == []
    assert await news.streams.progress(job) is None


async def test_reports_are_read_in_order_without_a_gap(news: News, job: str) -> None:
    reports = [output(1), progress(2), output(3, attempt=2), Report(progress(1).kind, 7, b'"\r\n\x00\xff"')]
    await news.streams.append(job, reports[:1], turn=1)
    await news.streams.append(job, reports[1:], turn=1)
    entries = await everything(news, job)
    assert said(entries) == reports
    assert numbers(entries) == [1, 2, 3, 4]
    assert len({entry.position.epoch for entry in entries}) == 1


async def test_reading_goes_on_behind_a_position(news: News, job: str) -> None:
    await news.streams.append(job, [output(n) for n in range(1, 11)], turn=1)
    entries = await everything(news, job)
    assert list(await news.streams.after(job, entries[3].position, limit=3)) == list(entries[4:7])
    assert list(await news.streams.after(job, entries[-1].position, limit=3)) == []


async def test_dropped_reports_leave_a_gap_in_the_numbers(news: News, job: str) -> None:
    await news.streams.append(job, [output(1)], turn=1)
    await news.streams.append(job, [output(9)], turn=1, dropped=7)
    assert numbers(await everything(news, job)) == [1, 9]


async def test_the_last_reports_are_kept(news: News, job: str) -> None:
    for start in range(0, STREAM_REPORTS + 300, 100):
        await news.streams.append(job, [output(n) for n in range(start, start + 100)], turn=1)
    kept = numbers(await everything(news, job))
    assert kept == list(range(kept[-1] - STREAM_REPORTS + 1, kept[-1] + 1))


async def test_what_is_kept_is_bounded_in_bytes(news: News, job: str) -> None:
    for n in range(100):
        await news.streams.append(job, [output(n, size=65_000), output(n)], turn=1)
    entries = await everything(news, job)
    size = sum(len(entry.report.data) for entry in entries)
    assert STREAM_BYTES - 65_100 < size <= STREAM_BYTES + 65_100
    assert numbers(entries)[-1] == 200


async def test_a_report_larger_than_all_may_be_is_still_the_newest(news: News, job: str) -> None:
    await news.streams.append(job, [output(1), output(2, size=STREAM_BYTES + 1)], turn=1)
    await news.streams.append(job, [output(3)], turn=1)
    assert numbers(await everything(news, job)) == [2, 3]
    await news.streams.append(job, [output(4, size=STREAM_BYTES + 1)], turn=1)
    assert numbers(await everything(news, job)) == [4]


async def test_the_newest_progress_is_known(news: News, job: str) -> None:
    await news.streams.append(job, [progress(1), output(1), progress(2), output(2)], turn=1)
    assert await news.streams.progress(job) == progress(2)
    await news.streams.append(job, [output(3)], turn=1)
    assert await news.streams.progress(job) == progress(2)


async def test_whoever_has_lost_the_job_reports_no_more(news: News, job: str) -> None:
    await news.streams.append(job, [progress(1)], turn=7)
    await news.streams.append(job, [progress(2)], turn=9)
    await news.streams.append(job, [progress(3)], turn=7)
    assert said(await everything(news, job)) == [progress(1), progress(2)]
    assert await news.streams.progress(job) == progress(2)


@pytest.mark.parametrize("terminal", [True, False])
async def test_a_job_that_is_over_reports_no_more(news: News, job: str, terminal: bool) -> None:
    await news.streams.append(job, [progress(1)], turn=1)
    await news.cache.tell(state(job, 5, terminal=terminal))
    await news.streams.append(job, [progress(2)], turn=1)
    assert len(await everything(news, job)) == (1 if terminal else 2)


async def test_a_stream_that_was_lost_begins_anew_under_another_epoch(news: News, job: str) -> None:
    await news.streams.append(job, [output(n) for n in range(5)], turn=1)
    before = await everything(news, job)
    await news.lose(job)
    assert list(await everything(news, job)) == []
    await asyncio.sleep(0.002)  # an epoch is a millisecond
    await news.streams.append(job, [output(6)], turn=1)
    [after] = await everything(news, job)
    assert after.position == Position(after.position.epoch, 1)
    assert after.position.epoch > before[0].position.epoch
    assert list(await news.streams.after(job, before[-1].position, limit=9)) == [after]


async def test_a_stream_is_kept_for_its_time_and_no_longer(news: News, job: str) -> None:
    await news.streams.append(job, [progress(1)], turn=1)
    await news.age(job, STREAM_TTL_SECONDS - 2)
    assert len(await everything(news, job)) == 1
    assert await news.streams.progress(job) is not None
    await news.age(job, 3)
    assert list(await everything(news, job)) == []
    assert await news.streams.progress(job) is None


async def test_followers_are_hinted_at(news: News, new_job: Callable[[], str], gateway: str) -> None:
    jobs = [new_job() for _ in range(3)]
    async with news.streams.hints(gateway) as hinted, news.streams.hints(f"{gateway}-other") as other:
        await news.streams.follow(gateway, jobs[:2])
        await news.streams.follow(f"{gateway}-other", jobs[2:])
        for job in (jobs[2], jobs[1], jobs[0]):
            await news.streams.append(job, [output(1)], turn=1)
        assert [await soon(anext(hinted)) for _ in range(2)] == [jobs[1], jobs[0]]
        assert await soon(anext(other)) == jobs[2]


async def test_following_lasts_for_its_time(news: News, new_job: Callable[[], str], gateway: str) -> None:
    job, last = new_job(), new_job()
    async with news.streams.hints(gateway) as hinted:
        await news.streams.follow(gateway, [job])
        await news.age(job, FOLLOW_TTL_SECONDS - 2)
        await news.streams.append(job, [output(1)], turn=1)
        assert await soon(anext(hinted)) == job
        await news.age(job, 3)
        await news.streams.append(job, [output(2)], turn=1)
        await news.streams.follow(gateway, [last])
        await news.streams.append(last, [output(1)], turn=1)
        assert await soon(anext(hinted)) == last


async def test_following_many_and_none(news: News, new_job: Callable[[], str], gateway: str) -> None:
    jobs = [new_job() for _ in range(300)]
    await news.streams.follow(gateway, [])
    await news.streams.follow(gateway, jobs)
    async with news.streams.hints(gateway) as hinted:
        await news.streams.append(jobs[-1], [output(1)], turn=1)
        assert await soon(anext(hinted)) == jobs[-1]


async def test_an_erased_job_leaves_no_stream(news: News, job: str) -> None:
    await news.streams.append(job, [progress(1)], turn=1)
    await news.cache.erase(job)
    await news.streams.append(job, [progress(2)], turn=1)
    assert list(await everything(news, job)) == []
    assert await news.streams.progress(job) is None


@pytest.mark.parametrize("seed", range(3))
async def test_readers_at_any_pace_see_everything_that_is_kept(news: News, job: str, seed: int) -> None:
    rng = random.Random(seed)
    position: Position | None = None
    seen: list[int] = []
    total = 0
    for _ in range(60):
        fresh = rng.randrange(0, 9)
        if fresh:
            await news.streams.append(job, [output(total + n) for n in range(fresh)], turn=1)
            total += fresh
        entries = await news.streams.after(job, position, limit=rng.randrange(1, 9))
        if entries:
            position = entries[-1].position
        seen += numbers(entries)
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) > 50
