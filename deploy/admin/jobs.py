"""Jobs of any tenant, as an operator handles them from a terminal: straight in the store, for when no gateway answers.

Behind `sluice-admin jobs`. A cancel writes what the gateway's route would write, under the same precondition, and tells
Redis. The worker that holds the job meets the request when it next renews its lease; where nobody holds it, whoever
meets its message or its timer tells the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from shared.cache.contract import Teller
from shared.clock import Clock
from shared.errors import CacheUnavailable, CommitUnknown, Overloaded, SluiceError, StoreUnavailable
from shared.ids import Ids, IssuedId
from shared.models.canceling import canceled, known_by_id
from shared.models.job import Job, JobStatus
from shared.models.public import render, render_entry, snapshot
from shared.storage.contract import Conflict, JobFilter, JobLists, JobWrites, Place, Stored, Version
from shared.storage.explanation import facts, facts_of_unclaimed

MAX_ROUNDS = 8
PAGE = 100


class JobNotFound(SluiceError):
    """No worker has claimed the job, and it is not known to have been issued to the tenant."""


class JobOver(SluiceError):
    """The job has ended: it is too late to cancel it."""


@dataclass(frozen=True, slots=True)
class JobAdmin:
    """ids: None where the keys are not at hand; then only jobs that have a document are known."""

    store: JobWrites
    lists: JobLists
    teller: Teller
    ids: Ids | None
    clock: Clock

    async def get(self, id: str, tenant: str | None) -> dict[str, Any]:
        """The job as the API shows it. Raises JobNotFound, StoreUnavailable."""
        stored = await self.store.read(id)
        job = stored.value if stored else self._by_id(id, tenant)
        return _members(render(_whole(job)))

    async def explain(self, id: str, tenant: str | None) -> dict[str, Any]:
        """Why it is where it is. Raises JobNotFound, StoreUnavailable."""
        stored = await self.store.read(id)
        if stored is not None:
            _whole(stored.value)
            return facts(stored, self.clock.now())
        job = self._by_id(id, tenant)
        return facts_of_unclaimed(self._issued(id, tenant), job.status, None, announced=True)

    async def newest(self, wanted: JobFilter, limit: int) -> list[dict[str, Any]]:
        """The newest that workers have claimed or that wait for their time. Raises StoreUnavailable."""
        found: list[Job] = []
        while len(found) < limit:
            after = Place.of(found[-1]) if found else None
            size = min(PAGE, limit - len(found))
            page: Sequence[Job] = await self.lists.page(wanted, after=after, limit=size)
            found += page
            if len(page) < size:
                break
        return [_members(render_entry(job)) for job in found]

    async def cancel(self, id: str, tenant: str | None) -> dict[str, Any]:
        """The job as it is from now on. Raises JobNotFound, JobOver, StoreUnavailable."""
        for _ in range(MAX_ROUNDS):
            stored = await self.store.read(id)
            job = _whole(stored.value) if stored else self._by_id(id, tenant)
            lapsed = stored is not None and stored.idle_seconds >= job.lease_seconds
            wanted = canceled(job, lapsed=lapsed, at=self.clock.now())
            if wanted is None and job.status.terminal and job.status is not JobStatus.CANCELED:
                raise JobOver(f"{id} is {job.status}")
            if wanted is None or await self._written(wanted, stored):
                await self._tell(wanted or job)
                return _members(render(wanted or job))
        raise StoreUnavailable("others are changing the job; try again")

    def _by_id(self, id: str, tenant: str | None) -> Job:
        return known_by_id(self._issued(id, tenant), tenant or "", self.clock.now())

    def _issued(self, id: str, tenant: str | None) -> IssuedId:
        if self.ids is None or tenant is None:
            raise JobNotFound(f"no worker has claimed {id}; with --tenant and SLUICE_ID_KEYS its id can be read")
        issued = self.ids.verify("job", tenant, id)
        if issued is None:
            raise JobNotFound(f"{id} was never issued to {tenant}")
        return issued

    async def _written(self, wanted: Job, stored: Stored[Job] | None) -> bool:
        """False when somebody else wrote first, or when that is not known: look again."""
        try:
            if stored is None:
                return isinstance(await self.store.create(wanted), Version)
            return not isinstance(await self.store.update(wanted, stored.version), Conflict)
        except CommitUnknown:
            return False

    async def _tell(self, job: Job) -> None:
        """Who waits looks again within seconds, so that Redis is not needed."""
        try:
            await self.teller.tell(snapshot(job))
        except (CacheUnavailable, Overloaded):
            return


def _whole(job: Job) -> Job:
    """Raises JobNotFound for what is left of a deleted one."""
    if job.deleted_at is not None:
        raise JobNotFound(f"{job.spec.id} was deleted")
    return job


def _members(body: bytes) -> dict[str, Any]:
    members: dict[str, Any] = orjson.loads(body)
    return members
