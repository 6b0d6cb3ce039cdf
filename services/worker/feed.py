"""Feeds one run of a reducer: reads the outputs of a batch's items, page by page, as the reducer asks for them.

Made by `reducing` for each run, so a run that is done again begins anew. Which items have succeeded the batch's own
document says, and their ids are computed, so nothing is searched for: a page is a read of so many documents. One read
is made ahead of what was asked, no more: a reducer that takes its time is waited for.

Reads that fail are tried again for a while; then the run is given up and costs its job nothing. An output that is
missing, because somebody deleted that item, ends the job: the answer of the others would be taken for that of all.
"""

import asyncio
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from services.worker.execution.errors import Garbled
from services.worker.execution.outcomes import Interrupted, Rejected
from services.worker.execution.task import Answer, Counts, ItemOutput, Page
from shared.clock import Clock
from shared.errors import Overloaded, StoreUnavailable, Unavailable
from shared.ids import Ids
from shared.models import bitmap
from shared.models.batch import Batch
from shared.models.job import Job, JobStatus
from shared.storage.contract import JobOutcomes

MAX_ASKED: Final = 2
"""Pages that a runner may wait for at once."""
PAGE_ITEMS: Final = 500
PAGE_BYTES: Final = 192 * 1_024
"""A page ends with the output that makes it so large: with one of the largest it still fits into a message."""
FIRST_READ: Final = 10
MAX_READ: Final = 100
READ_BYTES: Final = 4 * 1_048_576
"""What one read may bring, judged by the largest output of the one before; so the first are short."""
MAX_TRIES: Final = 5
PAUSE_SECONDS: Final = 0.5
"""Before the second try, on average; then twice as long each time."""

GiveUp = Callable[[Interrupted | Rejected], None]


class _Missing(Exception):
    """The output of an item that has succeeded is not there, or cannot be handed on. The text says which."""


class Feed:
    """An `OutputFeed`. `serve` must be running.

    output_bytes: the largest output that a message takes.
    give_up: called once at most, when the outputs cannot be had.
    chance: uniform in 0…1.
    """

    def __init__(
        self,
        batch: Batch,
        ids: Ids,
        outcomes: JobOutcomes,
        *,
        output_bytes: int,
        give_up: GiveUp,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._indexes = array("I", bitmap.members(batch.items.succeeded & bitmap.full(batch.total)))
        self._id_of = ids.items(batch.spec.tenant, batch.spec.id)
        self._outcomes = outcomes
        self._output_bytes = output_bytes
        self._give_up = give_up
        self._clock = clock
        self._chance = chance
        self._asked: asyncio.Queue[tuple[int, Answer]] = asyncio.Queue(MAX_ASKED)
        self._start = 0
        self._ready: deque[ItemOutput] = deque()
        """Read and not handed on: the outputs from place `_start` on."""
        self._read_size = FIRST_READ
        counts = batch.counts
        self.counts = Counts(counts.total, len(self._indexes), counts.failed, counts.canceled, counts.expired)

    def ask(self, start: int, answer: Answer, /) -> None:
        if not 0 <= start < len(self._indexes) or self._asked.full():
            raise Garbled("a request for outputs that no reducer makes")
        self._asked.put_nowait((start, answer))

    async def serve(self) -> None:
        """Answer until cancelled, or until the run is given up."""
        try:
            while True:
                start, answer = await self._asked.get()
                answer(await self._page(start))
                await self._read()
        except _Missing as fault:
            self._give_up(Rejected(str(fault)))
        except (Unavailable, Overloaded) as fault:
            self._give_up(Interrupted(f"the outputs of its batch cannot be read ({type(fault).__name__})"))

    async def _page(self, start: int) -> Page:
        if start != self._start:
            self._ready.clear()
            self._start = start
        page: list[ItemOutput] = []
        size = 0
        while size < PAGE_BYTES and len(page) < PAGE_ITEMS and self._start < len(self._indexes):
            if not self._ready:
                await self._read()
            page.append(self._ready.popleft())
            size += len(page[-1].data)
            self._start += 1
        return page

    async def _read(self) -> None:
        """Read the next outputs, unless some are ready."""
        if self._ready or self._start >= len(self._indexes):
            return
        indexes = self._indexes[self._start : self._start + self._read_size]
        ids = [self._id_of(index) for index in indexes]
        found = await self._found(ids)
        self._ready.extend(map(self._item, indexes, ids, found))
        largest = max(len(item.data) for item in self._ready)
        self._read_size = max(1, min(2 * self._read_size, MAX_READ, READ_BYTES // max(1, largest)))

    def _item(self, index: int, id: str, job: Job | None) -> ItemOutput:
        if job is None or job.status is not JobStatus.SUCCEEDED or job.output is None:
            raise _Missing(f"The output of item {index} is not there any more: it was deleted")
        if len(job.output) > self._output_bytes:
            raise _Missing(
                f"The output of item {index} has {len(job.output)} bytes; this worker takes up to {self._output_bytes}"
            )
        return ItemOutput(index, id, job.output)

    async def _found(self, ids: Sequence[str]) -> Sequence[Job | None]:
        for tries in range(1, MAX_TRIES):
            try:
                return await self._outcomes.outcomes(ids)
            except (StoreUnavailable, Overloaded):
                await self._clock.sleep(PAUSE_SECONDS * 2 ** (tries - 1) * (0.5 + self._chance()))
        return await self._outcomes.outcomes(ids)
