"""What handlers report: gathered, bounded, sent twice a second at most, and lost without harm."""

from collections.abc import Sequence
from itertools import pairwise

import orjson

from services.worker.execution.task import Progress
from services.worker.execution.task import Report as Said
from services.worker.reports import EVERY_SECONDS, MAX_BYTES, TICK_SECONDS, Following, Reports
from shared.cache.contract import Report, ReportKind, StreamEntry
from shared.cache.lifetimes import STREAM_REPORTS
from shared.cache.memory import MemoryCache
from shared.cache.memory_streams import MemoryStreams
from shared.clock import ManualClock
from shared.lifecycle import running
from shared.models.job import Job, JobSpec

NOW = 1_750_000_000_000
SPEC = JobSpec("job_1", "acme", "h", "default", b"{}", NOW, NOW + 1_000_000, 30.0, 3)
JOB = Job.queued(SPEC).claimed(attempt=2, fence="f", worker="w", lease_seconds=15, at=NOW)


def said(*chunks: bytes, done: float | None = None, dropped: int = 0) -> Said:
    return Said(None if done is None else Progress(done, 10, "m"), chunks, dropped)


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.cache = MemoryCache(self.clock)
        self.streams = MemoryStreams(self.cache)
        self.reports = Reports(self.streams, self.clock)

    async def sent(self) -> Sequence[StreamEntry]:
        return await self.streams.after("job_1", None, limit=10_000)


async def test_chunks_come_before_the_progress_that_counts_them() -> None:
    b = Bench()
    async with running(b.reports.run()):
        with b.reports.of(JOB) as following:
            following.hear(said(b"1", b"2", done=1))
            following.hear(said(b"3", done=2))
            await b.clock.advance(TICK_SECONDS)
    reports = [entry.report for entry in await b.sent()]
    assert reports[:3] == [Report(ReportKind.OUTPUT, 2, chunk) for chunk in (b"1", b"2", b"3")]
    assert [orjson.loads(report.data) for report in reports[3:]] == [{"done": 2, "total": 10, "message": "m"}]


async def test_a_job_is_sent_for_twice_a_second_at_most() -> None:
    b = Bench()
    sent_at: list[float] = []
    async with running(b.reports.run()):
        with b.reports.of(JOB) as following:
            for _ in range(100):
                following.hear(said(b"0"))
                before = len(await b.sent())
                await b.clock.advance(TICK_SECONDS / 2)
                if len(await b.sent()) > before:
                    sent_at.append(b.clock.monotonic())
    gaps = [later - earlier for earlier, later in pairwise(sent_at)]
    assert sent_at[0] <= TICK_SECONDS + 1e-9, "the first is not held back"
    assert min(gaps) >= EVERY_SECONDS - 1e-9
    assert len(sent_at) >= 8


async def test_what_is_left_is_sent_at_the_end() -> None:
    b = Bench()
    with b.reports.of(JOB) as following:
        following.hear(said(b"1", done=1))
        await b.reports.flush(following)
        await b.reports.flush(following)
    assert len(await b.sent()) == 2


async def test_what_gathers_is_bounded_and_the_oldest_give_way() -> None:
    following = Following(JOB, set())
    for number in range(2 * STREAM_REPORTS):
        following.hear(said(b"%d" % number))
    reports, dropped = following.take()
    assert len(reports) + dropped == 2 * STREAM_REPORTS
    assert len(reports) < STREAM_REPORTS
    assert reports[-1].data == b"%d" % (2 * STREAM_REPORTS - 1)
    for _ in range(100):
        following.hear(said(b"x" * 64_000))
    reports, dropped = following.take()
    assert sum(len(report.data) for report in reports) <= MAX_BYTES
    assert len(reports) + dropped == 100


async def test_what_was_dropped_before_is_a_gap_in_the_stream() -> None:
    b = Bench()
    with b.reports.of(JOB) as following:
        following.hear(said(b"1"))
        await b.reports.flush(following)
        following.hear(said(b"5", dropped=3))
        await b.reports.flush(following)
    assert [entry.position.number for entry in await b.sent()] == [1, 5]


async def test_without_redis_reports_are_lost_and_known_to_be() -> None:
    b = Bench()
    with b.reports.of(JOB) as following:
        b.cache.stop()
        following.hear(said(b"1", b"2"))
        await b.reports.flush(following)
        b.cache.start()
        following.hear(said(b"3"))
        await b.reports.flush(following)
    [entry] = await b.sent()
    assert (entry.position.number, entry.report.data) == (3, b"3")


async def test_a_later_claim_outranks_the_one_that_was_lost() -> None:
    b = Bench()
    taken = JOB.claimed(attempt=2, fence="g", worker="v", lease_seconds=15, at=NOW)
    with b.reports.of(JOB) as old, b.reports.of(taken) as new:
        new.hear(said(b"new"))
        await b.reports.flush(new)
        old.hear(said(b"old"))
        await b.reports.flush(old)
    assert [entry.report.data for entry in await b.sent()] == [b"new"]


async def test_a_job_that_is_over_is_followed_no_more() -> None:
    b = Bench()
    async with running(b.reports.run()):
        with b.reports.of(JOB) as following:
            pass
        following.hear(said(b"late"))
        await b.clock.advance(5)
    assert list(await b.sent()) == []
