"""Chunks to the broker: a few at a time, each remembered before it is published, and marked once the broker has it.

What a chunk leaves makes it possible to send a broken upload again. A chunk that is marked is not published again; one
that is remembered only is, for nobody knows how far it came, and its items' claims make that harmless; another one
under the same number means that this is not the same upload.

What is at the broker at once is bounded over all uploads, so that jobs find room beside them: who has no room waits,
and so takes nothing more from its client.
"""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from services.gateway.access.rates import Limiter
from services.gateway.batches.inputs import Draft
from services.gateway.http.problems import (
    BATCH_CLOSED,
    IDEMPOTENCY_KEY_REUSED,
    RATE_LIMITED,
    REQUEST_TIMEOUT,
    TOO_LARGE,
    Problem,
    gone,
    unavailable,
)
from services.gateway.settings import Settings
from shared.clock import Clock
from shared.errors import CommitUnknown, MessageRefused, Overloaded, StoreUnavailable, Unavailable
from shared.ids import Ids
from shared.messaging.contract import BulkPublisher, Message
from shared.messaging.topics import Names
from shared.models.batch import Batch, BatchSpec, Chunk
from shared.models.envelope import Envelope, items
from shared.models.job import Lane
from shared.models.key import ApiKey
from shared.storage.batch_contract import BatchReader, Chunks, uploaded
from shared.storage.contract import Version

AHEAD: Final = 3
"""Chunks of one upload under way: one at the broker, one being remembered, one being made."""
MAX_ROUNDS: Final = 4


class Uploads:
    """All uploads to this process."""

    def __init__(
        self,
        settings: Settings,
        *,
        ids: Ids,
        publisher: BulkPublisher,
        batches: BatchReader,
        chunks: Chunks,
        limiter: Limiter,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._ids = ids
        self._publisher = publisher
        self._batches = batches
        self._chunks = chunks
        self._limiter = limiter
        self._clock = clock
        self._names = Names(settings.prefix)
        self._at_broker = asyncio.Semaphore(settings.chunks_in_flight)
        self._places: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """Uploads under way."""
        return self._places.total()

    @contextmanager
    def place(self, key: ApiKey) -> Iterator[None]:
        """Hold one of the bounded places while the block lasts. Raises Problem: 429 for the key's own, 503 for all."""
        if self._places[key.id] >= self._settings.max_uploads_per_key:
            detail = f"More than {self._settings.max_uploads_per_key} batches are being uploaded with this key."
            raise Problem(RATE_LIMITED, detail, headers={"Retry-After": "1", "Connection": "close"})
        if self.count >= self._settings.max_uploads:
            raise unavailable("Too many batches are being uploaded.", accepted=False)
        self._places[key.id] += 1
        try:
            yield
        finally:
            self._places[key.id] -= 1
            if not self._places[key.id]:
                del self._places[key.id]

    async def known(self, batch: str) -> Mapping[int, Chunk]:
        """What an earlier upload of the batch has left, by number. Raises Problem 503."""
        try:
            return {chunk.number: chunk for chunk in await uploaded(self._chunks, batch)}
        except (Unavailable, Overloaded):
            raise unavailable("What was uploaded before cannot be read right now.", accepted=False) from None

    def of(self, spec: BatchSpec, key: ApiKey, known: Mapping[int, Chunk]) -> "Upload":
        """key: whose rate the chunks count for. known: see `known`."""
        return Upload(self, spec, key, known)

    # For an upload

    async def room(self, key: ApiKey) -> None:
        """Return when the key's rate has room for one more chunk, which counts as a request does."""
        while True:
            try:
                return await self._limiter.admit(key)
            except Problem as problem:
                await self._clock.sleep(float(problem.headers["Retry-After"]))

    async def remember(self, spec: BatchSpec, chunk: Chunk) -> None:
        """Raises Problem: 422 where another chunk is in its place, StoreUnavailable, Overloaded."""
        for _ in range(MAX_ROUNDS):
            try:
                if isinstance(await self._chunks.create(spec, chunk), Version):
                    return
            except CommitUnknown:
                pass
            for found in await self._chunks.page(spec.id, start=chunk.number, limit=1):
                check_same(chunk, found)
                return
        raise StoreUnavailable("the chunk could not be remembered")

    async def check_open(self, spec: BatchSpec) -> None:
        """Raises Problem where the batch has ended, or is to, since the upload began."""
        found = await self._batches.read(spec.id)
        if found is not None:
            refuse_closed(found.value)

    async def mark(self, spec: BatchSpec, chunk: Chunk) -> None:
        """Where this fails, the chunk is only published once more than it need be."""
        await self._chunks.put(spec, chunk)

    def messages(self, spec: BatchSpec, draft: Draft) -> Iterator[Message]:
        encode, id_of = items(spec), self._ids.items(spec.tenant, spec.id)
        attributes = Envelope(spec.item("", 0, b"")).attributes
        for index, input in enumerate(draft.inputs, draft.first):
            id = id_of(index)
            yield Message(encode(id, index, input), {**attributes, "id": id})

    async def publish(self, spec: BatchSpec, draft: Draft) -> None:
        """Return once the broker has all of the chunk. Raises as `BulkPublisher.publish_all`."""
        async with self._at_broker:
            topic = self._names.jobs(spec.queue, Lane.BULK)
            messages = []
            for number, message in enumerate(self.messages(spec, draft)):
                messages.append(message)
                if number % 250 == 249:
                    await asyncio.sleep(0)
            await self._publisher.publish_all(topic, messages, timeout_seconds=self._settings.publish_seconds)


class Upload:
    """One upload of one batch."""

    def __init__(self, uploads: Uploads, spec: BatchSpec, key: ApiKey, known: Mapping[int, Chunk]) -> None:
        self._uploads = uploads
        self._spec = spec
        self._key = key
        self._known = known
        self._under_way: set[asyncio.Task[None]] = set()
        self.accepted = 0
        """Items that the broker has, as far as there is no gap before them."""
        self._done: dict[int, int] = {}

    async def send(self, drafts: AsyncIterator[Draft]) -> int:
        """Publish everything; returns how many items there are. Raises Problem.

        When it returns or raises, nothing of it goes on.
        """
        chunks = items = 0
        try:
            async for draft in drafts:
                chunks, items = draft.number + 1, draft.end
                self._check_known(draft)
                await self._begin(draft)
            await self._finish()
        except Problem:
            await asyncio.gather(*self._under_way, return_exceptions=True)  # what is good is sent, and counts
            raise
        except (Unavailable, Overloaded):
            raise unavailable("Not all of the batch was accepted. Send it again.", accepted=False) from None
        except MessageRefused:
            raise Problem(TOO_LARGE, "An item is too large for a message.") from None
        finally:
            await self._stop()
        if any(number >= chunks for number in self._known):
            raise reused()
        return items

    def _check_known(self, draft: Draft) -> None:
        known = self._known.get(draft.number)
        if known is not None:
            check_same(draft.chunk(), known)

    async def _begin(self, draft: Draft) -> None:
        known = self._known.get(draft.number)
        if known is not None and known.published:
            self._count(draft)
            return
        while len(self._under_way) >= AHEAD:
            await self._one_done()
        task = asyncio.create_task(self._one(draft, remembered=known is not None), name=f"chunk {draft.number}")
        self._under_way.add(task)

    async def _one(self, draft: Draft, *, remembered: bool) -> None:
        if draft.number:
            await self._uploads.room(self._key)
        if not remembered:
            await self._uploads.remember(self._spec, draft.chunk())
        await self._uploads.check_open(self._spec)
        await self._uploads.publish(self._spec, draft)
        self._count(draft)
        try:
            await self._uploads.mark(self._spec, draft.chunk(published=True))
        except (Unavailable, Overloaded):
            return

    def _count(self, draft: Draft) -> None:
        self._done[draft.first] = draft.end
        while self.accepted in self._done:
            self.accepted = self._done.pop(self.accepted)

    async def _one_done(self) -> None:
        done, self._under_way = await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        for fault in [fault for task in done if (fault := task.exception()) is not None]:
            raise fault

    async def _finish(self) -> None:
        while self._under_way:
            await self._one_done()

    async def _stop(self) -> None:
        """Chunks that are under way when the upload ends are let go as far as they are: they have their deadlines."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)


async def compare(drafts: AsyncIterator[Draft], known: Mapping[int, Chunk]) -> None:
    """Raises Problem 422 unless these are the inputs that `known` was uploaded with."""
    chunks = 0
    async for draft in drafts:
        chunks = draft.number + 1
        if draft.number not in known:
            raise reused()
        check_same(draft.chunk(), known[draft.number])
    if chunks < len(known):
        raise reused()


def check_same(chunk: Chunk, known: Chunk) -> None:
    """Raises Problem 422 where they are of different uploads."""
    if chunk.hash != known.hash or chunk.first != known.first:
        raise reused(chunk.first, chunk.first + chunk.items)


def reused(first: int | None = None, end: int | None = None) -> Problem:
    where = "" if first is None or end is None else f" They differ among items {first} to {end - 1}."
    return Problem(IDEMPOTENCY_KEY_REUSED, f"The key stands for a batch of other inputs.{where}")


def refuse_closed(batch: Batch) -> None:
    """Raises Problem where the batch takes no more items."""
    if batch.deleted_at is not None:
        raise gone("batch")
    if batch.status.terminal or batch.cancel_requested_at is not None:
        raise Problem(BATCH_CLOSED, f"The batch is {batch.status if batch.status.terminal else 'being canceled'}.")


def overall(settings: Settings) -> "asyncio.Timeout":
    """How long an upload may take in all; past it `late` is to be raised."""
    return asyncio.timeout(settings.upload_seconds)


def late(settings: Settings) -> Problem:
    detail = f"The upload took longer than {math.ceil(settings.upload_seconds)} s. Send it again to go on."
    return Problem(REQUEST_TIMEOUT, detail, headers={"Connection": "close"})
