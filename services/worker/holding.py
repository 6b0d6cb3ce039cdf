"""A claimed job while this worker may write it: the claim's version, kept current through renewals, until the finish.

One `Holding` a job. A write that meets a newer document looks whose it is: with our fence it was our own renewal or a
cancel request, and the write is tried again; with another fence the claim is lost and nothing is written any more.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from shared.errors import CommitUnknown, StoreUnavailable
from shared.models.job import Job, JobStatus
from shared.storage.contract import JobClaims, Timer, Version

MAX_ROUNDS = 8

Transition = Callable[[Job], tuple[Job, Timer | None]]
"""From the state that is held to the one to write, with the timer that must come with it."""


class ClaimLost(Exception):
    """Another worker holds the job, or ended it. Whatever was computed is to be thrown away."""


class Holding:
    def __init__(self, job: Job, version: Version, store: JobClaims) -> None:
        self._job = job
        self._version = version
        self._store = store
        self._writing = asyncio.Lock()
        self._lost = False

    @property
    def job(self) -> Job:
        return self._job

    @property
    def version(self) -> Version:
        """Of the last write: of the claim, until the lease was renewed."""
        return self._version

    @property
    def lost(self) -> bool:
        return self._lost

    @property
    def cancel_requested(self) -> bool:
        return self._job.cancel_requested_at is not None

    async def renew(self) -> None:
        """Move the end of the lease. Raises ClaimLost, or StoreUnavailable when it could not be settled."""
        await self.write(lambda job: (job, None))

    async def write(self, transition: Transition) -> Job:
        """Write the next state and return it as stored. Raises ClaimLost, or StoreUnavailable when not settled."""
        async with self._writing:
            for _ in range(MAX_ROUNDS):
                if self._lost:
                    raise ClaimLost
                wanted, timer = transition(self._job)
                result = await self._try(wanted, timer)
                if isinstance(result, Version):
                    self._job, self._version = wanted, result
                    return wanted
                if (settled := await self._reread(wanted)) is not None:
                    return settled
        raise StoreUnavailable("the write could not be settled")

    async def _try(self, wanted: Job, timer: Timer | None) -> object:
        try:
            if timer is None:
                return await self._store.update(wanted, self._version, before=self._job)
            return await self._store.update_with_timer(wanted, self._version, timer)
        except CommitUnknown:
            return None

    async def _reread(self, wanted: Job) -> Job | None:
        """Adopt what is stored if the claim is still ours; return it if our own write was applied after all."""
        stored = await self._store.read(self._job.spec.id)
        if stored is None or stored.value.fence not in {self._job.fence, wanted.fence}:
            self._lost = True
            raise ClaimLost
        if stored.value.status is not JobStatus.RUNNING:
            if stored.value.status is not wanted.status or stored.value.order != wanted.order:
                self._lost = True
                raise ClaimLost
            self._job, self._version = stored.value, stored.version
            return stored.value
        if wanted.status is JobStatus.RUNNING and stored.value.fence == wanted.fence:
            self._job, self._version = stored.value, stored.version
            return stored.value
        self._job = replace(self._job, cancel_requested_at=stored.value.cancel_requested_at)
        self._version = stored.version
        return None
