"""Settling what never reports: looking at the items of which no outcome is known, so that no batch ever hangs.

| why | what becomes of an item that is not over |
|---|---|
| a cancel was asked for | canceled; one that runs is asked to stop, and its worker called |
| the deadline has passed | expired; one that runs under a live lease is its worker's to end |
| silence | nothing: only what has ended is made up for (its event was lost) |

An item that is over has its outcome merged, whichever it is. An upload that has not ended by then is sealed with what
there is of it. The reduction is one item more. Every write has the
precondition of what was read, as the gateway's cancel has; what is settled is in the document, so a look that is broken
off goes on where it was, and several at once are harmless.
"""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Final

from services.aggregator.fan_in import Heard, reduction_of
from services.aggregator.measures import Measures
from services.aggregator.telling import Telling
from services.aggregator.windows import Window, Windows
from shared.clock import Clock
from shared.errors import CommitUnknown, StoreUnavailable
from shared.ids import Ids
from shared.models import bitmap
from shared.models.batch import Batch
from shared.models.canceling import canceled
from shared.models.job import Job, JobSpec, JobStatus
from shared.storage.batch_contract import BatchReader
from shared.storage.contract import JobWrites, Stored, Version

PAGE: Final = 500
"""Items that are looked at side by side. The adapter makes few requests of them."""
MAX_ROUNDS: Final = 8


class Why(StrEnum):
    CANCEL = "cancel"
    DEADLINE = "deadline"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Looked:
    """batch: as it was read; None where there is none. unsettled: items that were left as they are."""

    batch: Batch | None
    looked_at: int = 0
    unsettled: int = 0
    next_index: int = 0
    """Where the next look may begin; 0 after the last item."""

    @property
    def over(self) -> bool:
        return self.batch is None or self.batch.status.terminal


@dataclass(slots=True)
class _Tally:
    looked_at: int = 0
    found: int = 0
    ended: int = 0
    unsettled: int = 0


@dataclass(frozen=True, slots=True)
class Settling:
    """Owns nothing: each look is awaited by whoever asked for it."""

    batches: BatchReader
    jobs: JobWrites
    windows: Windows[Heard]
    telling: Telling
    measures: Measures
    ids: Ids
    clock: Clock
    at_once: asyncio.Semaphore

    async def settle(self, id: str, why: Why, *, start: int = 0, most: int | None = None) -> Looked:
        """Look at up to `most` items from `start` on, and return when what was found is in the batch.

        Raises StoreUnavailable, Overloaded, and what merging raises.
        """
        async with self.at_once:
            stored = await self.batches.read(id)
            if stored is None or stored.value.status.terminal:
                return Looked(None if stored is None else stored.value)
            return await self._look(stored.value, why, start, most)

    async def _look(self, batch: Batch, why: Why, start: int, most: int | None) -> Looked:
        tally, windows = _Tally(), {self._open(batch, why)}
        id_of = self.ids.items(batch.spec.tenant, batch.spec.id)
        missing = bitmap.members(batch.missing, start)
        wanted = missing if most is None else islice(missing, most)
        last = start - 1
        for page in _pages(wanted):
            statuses = await asyncio.gather(*(self._item(batch, id_of(index), why, tally) for index in page))
            window = self.windows.open(batch.spec.id)
            for index, status in zip(page, statuses, strict=True):
                if status.terminal:
                    window.said.put(index, status)
            windows.add(window)
            last = page[-1]
        if await self._reduction(batch, why, tally):
            windows.add(self.windows.open(batch.spec.id))
        for window in windows:
            await window.committed()
        self.measures.settled(batch, why, looked_at=tally.looked_at, found=tally.found, ended=tally.ended)
        more = next(bitmap.members(batch.missing, last + 1), 0)
        return Looked(batch, tally.looked_at, tally.unsettled, more)

    def _open(self, batch: Batch, why: Why) -> Window[Heard]:
        window = self.windows.open(batch.spec.id)
        if why is not Why.SILENCE and batch.sealed_at is None:
            window.said.seal_at = max(self.clock.now(), _ends_at(batch, why))
        return window

    async def _reduction(self, batch: Batch, why: Why, tally: _Tally) -> bool:
        """Whether the reduction is over, of which the batch does not know."""
        known = batch.reduction
        if known is None or known.status.terminal:
            return False
        spec = batch.spec.reduction(known.job)
        due = why is not Why.DEADLINE or self.clock.now() >= spec.expires_at
        job = await self._job(spec, why if due else Why.SILENCE, tally)
        if job is None or not job.status.terminal:
            return False
        self.windows.open(batch.spec.id).said.reduction = reduction_of(job)
        return True

    async def _item(self, batch: Batch, id: str, why: Why, tally: _Tally) -> JobStatus:
        job = await self._job(batch.spec.item(id, 0, b""), why, tally)
        return JobStatus.QUEUED if job is None else job.status

    async def _job(self, spec: JobSpec, why: Why, tally: _Tally) -> Job | None:
        """The job as it is from now on; None while only its message is there."""
        for _ in range(MAX_ROUNDS):
            stored = await self.jobs.read(spec.id)
            wanted = ruling(spec, stored, why, self.clock.now())
            if wanted is None:
                job = stored.value if stored else None
                return _counted(tally, job, ended=False)
            if await self._written(wanted, stored):
                await self.telling.job(wanted)
                return _counted(tally, wanted, ended=True)
        raise StoreUnavailable("an item is written by too many at once")

    async def _written(self, wanted: Job, stored: Stored[Job] | None) -> bool:
        """False when somebody else wrote first, or when that is not known: look again."""
        try:
            if stored is None:
                return isinstance(await self.jobs.create(wanted), Version)
            return isinstance(await self.jobs.update(wanted, stored.version), Version)
        except CommitUnknown:
            return False


def _ends_at(batch: Batch, why: Why) -> int:
    """The earliest moment of which a seal says that the upload was stopped, whatever our clock says."""
    return batch.spec.expires_at if why is Why.DEADLINE else (batch.cancel_requested_at or 0) + 1


def ruling(spec: JobSpec, stored: Stored[Job] | None, why: Why, now: int) -> Job | None:
    """What is to be written of a job; None: nothing. A job without a document gets a tombstone."""
    job = stored.value if stored else Job.queued(_known_by_id(spec))
    if why is Why.SILENCE or job.status.terminal:
        return None
    lapsed = stored is not None and stored.idle_seconds >= job.lease_seconds
    if why is Why.CANCEL:
        return canceled(job, lapsed=lapsed, at=now)
    return None if job.status is JobStatus.RUNNING and not lapsed else job.expired(at=now)


def _known_by_id(spec: JobSpec) -> JobSpec:
    """Without the input, which nobody here has, a job is not known: the worker that meets its message adds the rest."""
    return JobSpec.unknown(spec.id, tenant=spec.tenant, created_at=spec.created_at, expires_at=spec.expires_at)


def _counted(tally: _Tally, job: Job | None, *, ended: bool) -> Job | None:
    over = job is not None and job.status.terminal
    tally.looked_at += 1
    tally.found += over and not ended
    tally.ended += over and ended
    tally.unsettled += not over
    return job


def _pages(indexes: Iterable[int]) -> Iterator[list[int]]:
    rest = iter(indexes)
    while page := list(islice(rest, PAGE)):
        yield page
