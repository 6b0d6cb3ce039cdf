"""Batches and the chunks of their uploads, on every store."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.clock import SystemClock
from shared.errors import CommitUnknown, DocumentRefused, StoreUnavailable
from shared.models import bitmap
from shared.models.batch import (
    MAX_ITEMS,
    Batch,
    BatchEntry,
    BatchSpec,
    BatchStatus,
    Chunk,
    ReduceSpec,
    Reduction,
)
from shared.models.batch_items import Items
from shared.models.job import ErrorCode, JobError, JobStatus
from shared.models.webhook import JobWebhook
from shared.storage.batch_contract import (
    CHUNKS_A_PAGE,
    Batches,
    BatchFilter,
    BatchWrites,
    Chunks,
    change,
    uploaded,
)
from shared.storage.contract import Conflict, Place, Stored, Timers, Version, WriteResult
from shared.storage.firestore import FirestoreBatches, FirestoreChunks, FirestoreDatabase, FirestoreTimers
from shared.storage.memory import MemoryDatabase, MemoryTimers
from shared.storage.memory_batches import MemoryBatches, MemoryChunks
from tests.contract.storage.samples import AT, HOUR_MS, new_id, new_timer
from tests.contract.storage.storage_subject import PATIENT, new_project

RIVALS = 20


@dataclass(frozen=True, slots=True)
class Subject:
    batches: Batches
    chunks: Chunks
    timers: Timers


@pytest.fixture
async def store(store_address: str) -> AsyncIterator[Subject]:
    if not store_address:
        memory = MemoryDatabase(SystemClock())
        yield Subject(MemoryBatches(memory), MemoryChunks(memory), MemoryTimers(memory))
        return
    async with FirestoreDatabase(new_project(), store_address, limits=PATIENT) as database:
        yield Subject(FirestoreBatches(database), FirestoreChunks(database), FirestoreTimers(database))


def new_spec(**changed: object) -> BatchSpec:
    """A spec with every field set to something that is not its default."""
    spec = BatchSpec(
        id=new_id("bat"),
        tenant="acme",
        handler="text.stats",
        queue="texts",
        created_at=AT,
        expires_at=AT + HOUR_MS,
        timeout_seconds=30.5,
        max_attempts=5,
        labels={"team": "a", "__name__": "x=y%"},
        webhook=JobWebhook("https://example.com/hook", frozenset({"batch.completed"})),
        reduce=ReduceSpec("sum", "texts", b'{"field":"words"}', 60.5, 3),
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    return replace(spec, **changed)  # type: ignore[arg-type]


def full(spec: BatchSpec) -> Batch:
    """With every field set, whether or not a batch could be in that state."""
    error = JobError(ErrorCode.HANDLER_ERROR, "ValueError: nö", retryable=True)
    return Batch(
        spec,
        BatchStatus.COMPLETED,
        total=9,
        items=Items(started=0b1_0000_0001, succeeded=1, failed=2, canceled=4, expired=8),
        reduction=Reduction("job_r", JobStatus.FAILED, b'{"sum":7}', error),
        sealed_at=AT + 1,
        finished_at=AT + 2,
        cancel_requested_at=AT + 3,
        revision=17,
    )


async def opened(store: Subject, batch: Batch) -> Version:
    version = await store.batches.open(batch, new_timer(f"{batch.spec.id}:deadline"))
    assert isinstance(version, Version)
    return version


async def read(store: Subject, id: str) -> Stored[Batch]:
    found = await store.batches.read(id)
    assert found is not None
    return found


async def test_what_was_never_opened_is_none(store: Subject) -> None:
    assert await store.batches.read(new_id("bat")) is None


async def test_what_is_opened_is_read_whole(store: Subject) -> None:
    for batch in (full(new_spec()), Batch(BatchSpec(new_id("bat"), "t", "h", "q", AT, AT + 1, 1.0, 1))):
        version = await opened(store, batch)
        found = await read(store, batch.spec.id)
        assert (found.value, found.version) == (batch, version)


async def test_its_deadline_is_written_with_it_or_not_at_all(store: Subject) -> None:
    batch, timer = Batch(new_spec()), new_timer(due_at=AT + 5)
    await store.batches.open(batch, timer)
    [due] = [each for each in await store.timers.due([timer.shard], until=AT + 5, limit=9) if each.value.id == timer.id]
    assert due.value == timer
    again = new_timer()
    assert await store.batches.open(batch, again) is Conflict.EXISTS
    assert again.id not in [each.value.id for each in await store.timers.due([again.shard], until=AT, limit=9)]
    other = Batch(new_spec())
    assert await store.batches.open(other, timer) is Conflict.EXISTS
    assert await store.batches.read(other.spec.id) is None


async def test_one_of_many_rivals_opens(store: Subject) -> None:
    batch = Batch(new_spec())
    opening = (store.batches.open(replace(batch, total=n), new_timer(f"{batch.spec.id}:deadline")) for n in range(9))
    results = await asyncio.gather(*opening)
    assert len([each for each in results if isinstance(each, Version)]) == 1


async def test_an_update_changes_the_state_and_nothing_that_was_asked(store: Subject) -> None:
    batch = Batch(new_spec())
    held = await opened(store, batch)
    changed = full(replace(batch.spec, labels={}, queue="other"))
    version = await store.batches.update(changed, held)
    assert isinstance(version, Version)
    assert version != held
    assert (await read(store, batch.spec.id)).value == replace(changed, spec=batch.spec)
    bare = replace(Batch(batch.spec), revision=99)
    await store.batches.update(bare, version)
    assert (await read(store, batch.spec.id)).value == bare  # what is not set any more is gone


async def test_a_stale_update_is_refused(store: Subject) -> None:
    batch = Batch(new_spec())
    held = await opened(store, batch)
    await store.batches.update(batch.received(1), held)
    assert await store.batches.update(batch.received(2), held) is Conflict.STALE
    assert (await read(store, batch.spec.id)).value.total == 1
    missing = Batch(new_spec())
    assert await store.batches.update(missing.received(1), held) in {Conflict.STALE, Conflict.MISSING}


async def test_a_stub_replaces_everything_and_is_in_no_list(store: Subject) -> None:
    batch = full(new_spec(tenant=new_id("tenant")))
    held = await opened(store, batch)
    stub = batch.erased(at=AT + 9)
    assert isinstance(await store.batches.replace(stub, held), Version)
    assert (await read(store, batch.spec.id)).value == stub
    assert await store.batches.page(BatchFilter(batch.spec.tenant), after=None, limit=9) == []
    assert isinstance(await store.batches.replace(stub, held), Conflict)


async def test_a_batch_of_the_largest_size_fits(store: Subject) -> None:
    everything = bitmap.full(MAX_ITEMS)
    batch = Batch(new_spec(), items=Items(*[everything] * 5), total=MAX_ITEMS)
    await opened(store, batch)
    assert (await read(store, batch.spec.id)).value == batch


async def test_what_no_field_holds_is_refused(store: Subject) -> None:
    batch = replace(Batch(new_spec()), reduction=Reduction("job_r", JobStatus.SUCCEEDED, b"1" * 1_048_488))
    with pytest.raises(DocumentRefused):
        await store.batches.open(batch, new_timer())


async def test_lists_go_from_the_newest_to_the_oldest_in_pages(store: Subject) -> None:
    tenant = new_id("tenant")
    times = (3, 1, 2, 2, 5)
    batches = [full(new_spec(tenant=tenant, created_at=AT + at)) for at in times]
    for batch in [*batches, full(new_spec(tenant=new_id("tenant")))]:
        await opened(store, batch)
    wanted = BatchFilter(tenant)
    found: list[BatchEntry] = []
    while page := await store.batches.page(
        wanted,
        after=Place(found[-1].batch.spec.created_at, found[-1].batch.spec.id) if found else None,
        limit=2,
    ):
        assert len(page) <= 2
        found += page
    ordered = sorted(batches, key=lambda each: (each.spec.created_at, each.spec.id), reverse=True)
    assert [each.batch.spec.id for each in found] == [each.spec.id for each in ordered]
    for entry, batch in zip(found, ordered, strict=True):
        assert entry.counts == batch.counts
        assert entry.batch.items == Items()
        assert entry.batch.reduction == replace(batch.reduction or Reduction(""), output=None)
        assert (entry.batch.status, entry.batch.spec.labels) == (batch.status, batch.spec.labels)


async def test_a_list_of_one_status(store: Subject) -> None:
    tenant = new_id("tenant")
    batches = [replace(full(new_spec(tenant=tenant)), status=status) for status in BatchStatus]
    for batch in batches:
        await opened(store, batch)
    for batch in batches:
        [found] = await store.batches.page(BatchFilter(tenant, batch.status), after=None, limit=9)
        assert found.batch.spec.id == batch.spec.id


async def test_changes_of_many_rivals_all_count(store: Subject) -> None:
    batch = Batch(new_spec(reduce=None)).sealed(RIVALS, at=AT)
    await opened(store, batch)

    async def report(index: int) -> None:
        while True:
            try:
                await change(store.batches, batch.spec.id, lambda each: each.merged(Items(succeeded=1 << index)))
            except StoreUnavailable:  # rivals all the time: a report comes again
                continue
            return

    await asyncio.gather(*(report(index) for index in range(RIVALS)))
    after = await change(store.batches, batch.spec.id, lambda each: each.concluded(at=AT))
    assert after is not None
    assert (after.status, after.counts.succeeded) == (BatchStatus.COMPLETED, RIVALS)
    assert after.revision == batch.revision + RIVALS + 1


async def test_a_change_of_nothing_writes_nothing(store: Subject) -> None:
    batch = Batch(new_spec())
    held = await opened(store, batch)
    assert await change(store.batches, batch.spec.id, lambda each: each) == batch
    assert (await read(store, batch.spec.id)).version == held
    assert await change(store.batches, new_id("bat"), lambda each: each) is None


class Doubtful:
    """A repository whose first update is applied, and not known to be."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self.updates = 0

    async def read(self, id: str) -> Stored[Batch] | None:
        return await self._batches.read(id)

    async def update(self, batch: Batch, held: Version) -> WriteResult:
        self.updates += 1
        result = await self._batches.update(batch, held)
        if self.updates == 1:
            raise CommitUnknown("nobody knows")
        return result


async def test_a_change_whose_fate_is_unknown_is_looked_for(store: Subject) -> None:
    batch = Batch(new_spec())
    await opened(store, batch)
    doubtful: BatchWrites = Doubtful(store.batches)
    after = await change(doubtful, batch.spec.id, lambda each: each.sealed(3, at=AT))
    assert after == (await read(store, batch.spec.id)).value
    assert after is not None
    assert after.revision == batch.revision + 1


async def test_chunks_are_created_once_and_found_by_number(store: Subject) -> None:
    spec = new_spec()
    chunks = [Chunk(number, number * 1_000, 1_000, bytes([number]) * 32) for number in range(12)]
    for chunk in reversed(chunks):
        assert isinstance(await store.chunks.create(spec, chunk), Version)
    assert await store.chunks.create(spec, Chunk(3, 0, 1, b"other")) is Conflict.EXISTS
    assert list(await store.chunks.page(spec.id, start=0, limit=100)) == chunks
    assert list(await store.chunks.page(spec.id, start=3, limit=3)) == chunks[3:6]
    assert list(await store.chunks.page(spec.id, start=12, limit=3)) == []
    assert list(await store.chunks.page(new_id("bat"), start=0, limit=3)) == []


async def test_all_of_an_upload_is_found_also_behind_a_gap(store: Subject) -> None:
    spec = new_spec()
    chunks = [Chunk(number, number * 10, 10, bytes([number])) for number in range(CHUNKS_A_PAGE * 2 + 3)]
    del chunks[CHUNKS_A_PAGE + 1]
    await asyncio.gather(*(store.chunks.create(spec, chunk) for chunk in chunks))
    assert list(await uploaded(store.chunks, spec.id)) == chunks
    assert list(await uploaded(store.chunks, new_id("bat"))) == []


async def test_a_chunk_is_marked_as_published(store: Subject) -> None:
    spec, chunk = new_spec(), Chunk(0, 0, 7, b"h" * 32)
    await store.chunks.create(spec, chunk)
    published = replace(chunk, published=True)
    for _ in range(2):
        await store.chunks.put(spec, published)
        assert list(await store.chunks.page(spec.id, start=0, limit=1)) == [published]


async def test_a_chunk_is_removed_whether_or_not_it_is_there(store: Subject) -> None:
    spec = new_spec()
    await store.chunks.create(spec, Chunk(0, 0, 7, b"h"))
    for _ in range(2):
        await store.chunks.remove(spec.id, 0)
    assert list(await store.chunks.page(spec.id, start=0, limit=2)) == []


async def test_a_store_that_does_not_answer_says_so() -> None:
    memory = MemoryDatabase(SystemClock())
    batches, chunks, spec = MemoryBatches(memory), MemoryChunks(memory), new_spec()
    memory.fail()
    for call in (
        batches.read(spec.id),
        batches.open(Batch(spec), new_timer()),
        batches.update(Batch(spec), Version(1)),
        batches.replace(Batch(spec), Version(1)),
        batches.page(BatchFilter("acme"), after=None, limit=1),
        chunks.create(spec, Chunk(0, 0, 1, b"")),
        chunks.put(spec, Chunk(0, 0, 1, b"")),
        chunks.page(spec.id, start=0, limit=1),
        chunks.remove(spec.id, 0),
    ):
        with pytest.raises(StoreUnavailable):
            await call


SETS = st.integers(0, 2**64)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    items=st.builds(Items, SETS, SETS, SETS, SETS, SETS),
    total=st.integers(0, MAX_ITEMS),
    revision=st.integers(0, 2**40),
    output=st.none() | st.binary(max_size=100),
    labels=st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=3),
)
async def test_whatever_is_in_it_comes_back(
    store: Subject, items: Items, total: int, revision: int, output: bytes | None, labels: dict[str, str]
) -> None:
    reduction = Reduction("job_r", JobStatus.SUCCEEDED, output)
    batch = Batch(new_spec(labels=labels), total=total, items=items, revision=revision, reduction=reduction)
    await opened(store, batch)
    assert (await read(store, batch.spec.id)).value == batch
