"""Bugs on purpose: workers that break a promise in one way each, which the checker must notice.

Each is a wrapping of a sound worker's adapters, with the crash points laid so that the moment of the bug can be hit.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from services.worker.app import Adapters
from shared.cache.contract import Teller
from shared.errors import CacheUnavailable
from shared.messaging.contract import Delivery, Source
from shared.models.job import Job, JobStatus
from shared.models.public import snapshot
from shared.storage.contract import JobClaims, Stored, Timer, Version, WriteResult
from tests.chaos.points import Points, pointed

FOREVER_MICROSECONDS: Final = 3_600_000_000

Plant = Callable[[Adapters, Points], Adapters]


def _acknowledges_first(adapters: Adapters, points: Points) -> Adapters:
    """The message is gone before anything is written."""
    return pointed(replace(adapters, source=_EagerSource(adapters.source)), points)


def _finishes_without_precondition(adapters: Adapters, points: Points) -> Adapters:
    """Whoever holds a result writes it, whatever has become of the job since."""
    return pointed(replace(adapters, store=_Overwriting(adapters.store)), points)


def _tells_first(adapters: Adapters, points: Points) -> Adapters:
    """Clients hear of an end that the store may never hear of."""
    sound = pointed(adapters, points)
    return replace(sound, store=_TellingStore(sound.store, adapters.teller))


def _ignores_leases(adapters: Adapters, points: Points) -> Adapters:
    """Every running job is up for grabs."""
    return pointed(replace(adapters, store=_Impatient(adapters.store)), points)


PLANTED: Final[Mapping[str, Plant]] = {
    "acknowledges-first": _acknowledges_first,
    "finishes-without-precondition": _finishes_without_precondition,
    "tells-first": _tells_first,
    "ignores-leases": _ignores_leases,
}


class _EagerSource:
    def __init__(self, source: Source) -> None:
        self._source = source

    async def pull(self, subscription: str, *, limit: int, wait_seconds: float) -> Sequence[Delivery]:
        deliveries = await self._source.pull(subscription, limit=limit, wait_seconds=wait_seconds)
        for delivery in deliveries:
            await self._source.acknowledge(delivery)
        return deliveries

    async def acknowledge(self, delivery: Delivery) -> None:
        """It was."""

    async def extend(self, deliveries: Sequence[Delivery], *, seconds: int) -> None:
        """There is nothing left to extend."""


class _Passing:
    """A store that is as it is."""

    def __init__(self, store: JobClaims) -> None:
        self._store = store

    async def read(self, id: str) -> Stored[Job] | None:
        return await self._store.read(id)

    async def create(self, job: Job) -> WriteResult:
        return await self._store.create(job)

    async def update(self, job: Job, held: Version, *, before: Job | None = None) -> WriteResult:
        return await self._store.update(job, held, before=before)

    async def replace(self, job: Job, held: Version) -> WriteResult:
        return await self._store.replace(job, held)

    async def update_with_timer(self, job: Job, held: Version, timer: Timer) -> WriteResult:
        return await self._store.update_with_timer(job, held, timer)


class _Overwriting(_Passing):
    async def update(self, job: Job, held: Version, *, before: Job | None = None) -> WriteResult:
        if job.status.terminal:
            stored = await self._store.read(job.spec.id)
            held = stored.version if stored else held
        return await self._store.update(job, held)


class _TellingStore(_Passing):
    def __init__(self, store: JobClaims, teller: Teller) -> None:
        super().__init__(store)
        self._teller = teller

    async def update(self, job: Job, held: Version, *, before: Job | None = None) -> WriteResult:
        if job.status.terminal:
            with suppress(CacheUnavailable):
                await self._teller.tell(snapshot(job))
        return await self._store.update(job, held, before=before)


class _Impatient(_Passing):
    async def read(self, id: str) -> Stored[Job] | None:
        stored = await self._store.read(id)
        if stored is None or stored.value.status is not JobStatus.RUNNING:
            return stored
        return replace(stored, read_at=stored.read_at + FOREVER_MICROSECONDS)
