"""`DELETE /v1/jobs/{id}`: takes a terminal job's data away, everywhere; 204, however often it is asked for.

The truth first: the document becomes a stub, which holds nothing of the job but makes reads answer 410 and late
duplicates of its message harmless. Then what others keep: its timer, Redis, and through Redis's channel the memory of
every gateway. While Redis does not answer, nobody can read there either; it is cleaned as soon as it is back. What
would be left if this process died before that ends within the hour for which Redis keeps anything.
"""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass

import orjson
from aiohttp import web

from services.gateway.http.asking import nothing_else
from services.gateway.http.problems import NOT_TERMINAL, Problem, gone, unavailable
from services.gateway.jobs.cancel import Telling
from services.gateway.jobs.finished import Finished
from services.gateway.jobs.status import Statuses
from shared.cache.contract import Eraser, Flights, Recent
from shared.cache.lifetimes import TERMINAL_TTL_SECONDS
from shared.clock import Clock
from shared.errors import CacheUnavailable, CommitUnknown, Overloaded, Unavailable
from shared.ids import IssuedId
from shared.models.canceling import known_by_id
from shared.models.job import Job, JobStatus, Retention
from shared.models.key import ApiKey
from shared.models.public import deleted, snapshot
from shared.storage.contract import JobErasure, Stored, TimerRemoval, Version, timer_id

MAX_ROUNDS = 8
DELETE_SECONDS = 5.0
RETRY_SECONDS = 1.0
MAX_LEFT = 10_000
"""Deletions that wait for Redis. Beyond, the oldest are left to end by themselves."""

_log = logging.getLogger("sluice.gateway")


@dataclass(frozen=True, slots=True)
class Remains:
    """What may be left of a deleted job in Redis."""

    id: str
    tenant: str
    cache_key: str | None


class Cleaner:
    """Cleans Redis, again until it was there to be cleaned. `run` must be running."""

    def __init__(self, *, eraser: Eraser, flights: Flights, recent: Recent, clock: Clock) -> None:
        self._eraser = eraser
        self._flights = flights
        self._recent = recent
        self._clock = clock
        self._left: OrderedDict[Remains, float] = OrderedDict()

    async def clean(self, remains: Remains) -> None:
        """Return when it is done, or when Redis does not answer and it will be done later."""
        if not await self._cleaned(remains):
            self._left[remains] = self._clock.monotonic() + TERMINAL_TTL_SECONDS
            if len(self._left) > MAX_LEFT:
                self._left.popitem(last=False)

    async def run(self) -> None:
        """Try again what is left, until cancelled."""
        while True:
            await self._clock.sleep(RETRY_SECONDS)
            for remains, until in list(self._left.items()):
                if until <= self._clock.monotonic() or await self._cleaned(remains):
                    self._left.pop(remains, None)
                else:
                    break

    async def _cleaned(self, remains: Remains) -> bool:
        try:
            if remains.cache_key is not None:
                await self._flights.forget(remains.cache_key, remains.id)
            await self._recent.forget(remains.tenant, remains.id)
            await self._eraser.erase(remains.id)
        except (CacheUnavailable, Overloaded) as fault:
            _log.warning("a deleted job is cleaned up later", extra={"fault": type(fault).__name__})
            return False
        return True


class Deletes:
    def __init__(
        self,
        *,
        statuses: Statuses,
        finished: Finished,
        store: JobErasure,
        timers: TimerRemoval,
        telling: Telling,
        cleaner: Cleaner,
        retention: Retention,
        clock: Clock,
    ) -> None:
        self._statuses = statuses
        self._finished = finished
        self._store = store
        self._timers = timers
        self._telling = telling
        self._cleaner = cleaner
        self._retention = retention
        self._clock = clock

    async def delete(self, request: web.Request, key: ApiKey) -> web.Response:
        """The endpoint."""
        issued = self._statuses.verify(request.match_info["id"], key.tenant)
        await nothing_else(request)
        try:
            async with asyncio.timeout(DELETE_SECONDS):
                await self.erase(issued, key.tenant)
        except (Unavailable, Overloaded, TimeoutError):
            raise unavailable("It is not known whether the job was deleted. Ask again.") from None
        return web.Response(status=204, headers={"Cache-Control": "no-store"})

    async def erase(self, issued: IssuedId, tenant: str) -> None:
        """Take the job's data away. Raises Problem (409 where it is not over), Unavailable, Overloaded."""
        job = await self._erase(issued, tenant)
        if job.status is JobStatus.CANCELED:
            await self._remove_timer(job)
        self._finished.put(deleted(issued.text))
        await self._cleaner.clean(Remains(issued.text, tenant, job.spec.cache_key))

    async def _remove_timer(self, job: Job) -> None:
        """A job that was canceled while it waited has a timer, with its input. It was also who would tell at last."""
        if job.spec.known:
            await self._telling.publish(job)
        await self._timers.remove(timer_id(job.spec.id, job.attempt + 1))

    async def _erase(self, issued: IssuedId, tenant: str) -> Job:
        """The job as it was before its document became a stub. Raises Problem, Unavailable, Overloaded."""
        for _ in range(MAX_ROUNDS):
            stored = await self._store.read(issued.text)
            now = self._clock.now()
            job = stored.value if stored else known_by_id(issued, tenant, now)
            if job.deleted_at is not None:
                return job
            self._check(job, now)
            if await self._written(job.erased(at=now), stored):
                return job
        raise unavailable("The job changes too often to be deleted. Ask again.")

    def _check(self, job: Job, now: int) -> None:
        if self._retention.over(job, now):
            raise gone()
        if not job.status.terminal:
            members = {"job": orjson.Fragment(snapshot(job).body)}
            raise Problem(NOT_TERMINAL, f"The job is {job.status}. Cancel it first.", members=members)

    async def _written(self, stub: Job, stored: Stored[Job] | None) -> bool:
        """False when somebody else wrote first, or when that is not known: look again."""
        try:
            if stored is None:
                return isinstance(await self._store.create(stub), Version)
            return isinstance(await self._store.replace(stub, stored.version), Version)
        except CommitUnknown:
            return False
