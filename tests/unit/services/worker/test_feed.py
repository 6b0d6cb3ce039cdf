"""Pages of a batch's outputs: which items, how large, read how far ahead, and what a runner may not ask."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from services.worker.execution.errors import Garbled
from services.worker.execution.outcomes import Interrupted, Rejected
from services.worker.execution.task import Counts, Page
from services.worker.feed import MAX_ASKED, MAX_READ, MAX_TRIES, PAGE_BYTES, PAGE_ITEMS, READ_BYTES, Feed
from shared.clock import SystemClock
from shared.ids import IdKeys, Ids
from shared.models import bitmap
from shared.models.batch import Batch, BatchSpec, BatchStatus
from shared.models.batch_items import Items
from shared.models.job import Job
from shared.storage.memory import MemoryDatabase, MemoryJobLists, MemoryJobs

NOW, DAY_MS = 1_750_000_000_000, 86_400_000
LARGEST = 512 * 1_024


@dataclass
class Bench:
    database: MemoryDatabase
    ids: Ids
    asked: list[int] = field(default_factory=list)
    """The sizes of reads."""
    given_up: list[Interrupted | Rejected] = field(default_factory=list)

    def batch(self, total: int, failed: frozenset[int] = frozenset()) -> Batch:
        id = self.ids.issue("bat", "acme", created_at=NOW, lifetime_ms=DAY_MS).text
        spec = BatchSpec(id, "acme", "h", "default", NOW, NOW + DAY_MS, 30.0, 3)
        items = Items(succeeded=bitmap.full(total) & ~bitmap.of(failed), failed=bitmap.of(failed))
        return Batch(spec, BatchStatus.RUNNING, total=total, items=items, sealed_at=NOW)

    async def outcomes(self, ids: Sequence[str]) -> Sequence[Job | None]:
        self.asked.append(len(ids))
        return await MemoryJobLists(self.database).outcomes(ids)

    async def put(self, batch: Batch, size: Callable[[int], int]) -> None:
        store = MemoryJobs(self.database)
        for index in bitmap.members(batch.items.succeeded):
            job = Job.queued(batch.spec.item(self.ids.item("acme", batch.spec.id, index).text, index, b"1"))
            await store.create(job.succeeded(b"1" * size(index), at=NOW))

    @asynccontextmanager
    async def feeding(self, batch: Batch) -> AsyncIterator[Feed]:
        feed = Feed(
            batch,
            self.ids,
            self,
            output_bytes=LARGEST,
            give_up=self.given_up.append,
            clock=SystemClock(),
            chance=lambda: -0.5,
        )
        serving = asyncio.create_task(feed.serve())
        try:
            yield feed
        finally:
            serving.cancel()
            await asyncio.wait({serving})


@pytest.fixture
def b() -> Bench:
    return Bench(MemoryDatabase(SystemClock()), Ids(IdKeys.parse(f"1:{'ab' * 32}")))


async def page(feed: Feed, start: int) -> Page:
    answer: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
    feed.ask(start, answer.set_result)
    async with asyncio.timeout(10):
        return await answer


async def everything(feed: Feed) -> list[Page]:
    pages: list[Page] = []
    while (start := sum(map(len, pages))) < feed.counts.succeeded:
        pages.append(await page(feed, start))
    return pages


async def test_the_items_that_succeeded_come_in_order_with_their_ids(b: Bench) -> None:
    failed = frozenset({0, 17, 555, 1_199})
    batch = b.batch(1_200, failed)
    await b.put(batch, lambda index: 1 + index % 7)
    async with b.feeding(batch) as feed:
        pages = await everything(feed)
    assert feed.counts == Counts(1_200, 1_196, 4, 0, 0)
    found = [item for page in pages for item in page]
    assert [item.index for item in found] == [index for index in range(1_200) if index not in failed]
    assert all(item.id == b.ids.item("acme", batch.spec.id, item.index).text for item in found)
    assert all(len(item.data) == 1 + item.index % 7 for item in found)
    assert max(map(len, pages)) <= PAGE_ITEMS
    assert sum(b.asked) == 1_196
    assert max(b.asked) <= MAX_READ


async def test_pages_and_reads_are_bounded_by_bytes(b: Bench) -> None:
    batch = b.batch(60)
    await b.put(batch, lambda index: LARGEST if index % 2 else 10)
    async with b.feeding(batch) as feed:
        pages = await everything(feed)
    assert all(sum(len(item.data) for item in page) < PAGE_BYTES + LARGEST for page in pages)
    assert max(b.asked[1:]) <= READ_BYTES // LARGEST


async def test_a_pass_may_begin_anew_or_anywhere(b: Bench) -> None:
    batch = b.batch(1_200)
    await b.put(batch, lambda index: 3)
    async with b.feeding(batch) as feed:
        for start in (0, 7, PAGE_ITEMS + 7, 1_199, 700, 0):
            found = await page(feed, start)
            assert [item.index for item in found] == list(range(start, start + len(found)))


@pytest.mark.parametrize("start", [-1, 3, 10**12])
async def test_a_place_where_there_is_nothing_is_no_request(b: Bench, start: int) -> None:
    async with b.feeding(b.batch(3)) as feed:
        with pytest.raises(Garbled):
            feed.ask(start, lambda page: None)


async def test_a_runner_that_asks_for_more_than_it_may_is_not_heard(b: Bench) -> None:
    async with b.feeding(b.batch(3)) as feed:
        for _ in range(MAX_ASKED):
            feed.ask(0, lambda page: None)
        with pytest.raises(Garbled):
            feed.ask(0, lambda page: None)


async def test_a_store_that_stays_away_ends_the_run_and_not_the_job(b: Bench) -> None:
    batch = b.batch(3)
    b.database.fail()
    async with b.feeding(batch) as feed:
        feed.ask(0, lambda page: None)
        async with asyncio.timeout(10):
            while not b.given_up:
                await asyncio.sleep(0)
    assert isinstance(b.given_up[0], Interrupted)
    assert len(b.asked) == MAX_TRIES


async def test_an_output_that_no_message_takes_ends_the_job(b: Bench) -> None:
    batch = b.batch(3)
    await b.put(batch, lambda index: LARGEST + 1 if index == 2 else 1)
    async with b.feeding(batch) as feed:
        feed.ask(0, lambda page: None)
        async with asyncio.timeout(10):
            while not b.given_up:
                await asyncio.sleep(0)
    assert b.given_up == [Rejected(f"The output of item 2 has {LARGEST + 1} bytes; this worker takes up to {LARGEST}")]
