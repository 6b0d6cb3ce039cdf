"""A gateway's waiting on the memory cache and store, with a clock that tests move."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from services.gateway.jobs.finished import Finished
from services.gateway.jobs.status import Statuses
from services.gateway.jobs.waiting import Waiting
from services.gateway.settings import Settings
from shared.cache.memory import MemoryCache
from shared.clock import ManualClock
from shared.config import Secret
from shared.ids import IdKeys, Ids, IssuedId
from shared.lifecycle import running
from shared.models.job import Job, JobSpec, Retention
from shared.models.public import Snapshot, snapshot
from shared.storage.contract import Version
from shared.storage.memory import MemoryDatabase, MemoryJobs

IDS = Ids(IdKeys({1: b"k" * 32}))
SETTINGS = Settings(id_keys=Secret("unused"), instance="gateway-1", max_held=500, store_seconds=5)


@dataclass
class Bench:
    clock: ManualClock
    cache: MemoryCache
    database: MemoryDatabase
    jobs: MemoryJobs
    waiting: Waiting
    statuses: Statuses
    finished: Finished

    def issue(self) -> tuple[IssuedId, Job]:
        issued = IDS.issue("job", "acme", created_at=self.clock.now(), lifetime_ms=86_400_000)
        spec = JobSpec(issued.text, "acme", "h", "default", b"{}", issued.created_at, issued.expires_at, 30.0, 3)
        return issued, Job.queued(spec)

    async def claim(self, job: Job) -> tuple[Job, Version]:
        running_job = job.claimed(attempt=1, fence="f", worker="w", lease_seconds=15, at=self.clock.now())
        version = await self.jobs.create(running_job)
        assert isinstance(version, Version)
        return running_job, version

    async def finish(self, job: Job, version: Version, *, tell: bool = True) -> Snapshot:
        done = job.succeeded(b"42", at=self.clock.now())
        assert isinstance(await self.jobs.update(done, version), Version)
        if tell:
            await self.cache.tell(snapshot(done))
        return snapshot(done)

    async def over(self, wait: Coroutine[Any, Any, Snapshot], seconds: float) -> Snapshot:
        """What is answered once the time is over, which it is not a moment before."""
        waiter = await started(wait)
        await self.clock.advance(seconds - 0.2)
        await settle()
        assert not waiter.done()
        await self.clock.advance(0.4)
        return await waiter


@asynccontextmanager
async def bench(*, following: bool = True) -> AsyncIterator[Bench]:
    """following: listen and look again, as the service does; without it days pass at no cost."""
    clock = ManualClock()
    cache, database, finished = MemoryCache(clock), MemoryDatabase(clock), Finished(1_000_000, clock)
    jobs = MemoryJobs(database)
    statuses = Statuses(
        SETTINGS, ids=IDS, finished=finished, cache=cache, store=jobs, retention=Retention(), clock=clock
    )
    waiting = Waiting(SETTINGS, cache=cache, statuses=statuses, finished=finished, clock=clock, chance=lambda: 0.5)
    async with running(*(waiting.follow() if following else ())):
        await settle()
        yield Bench(clock, cache, database, jobs, waiting, statuses, finished)


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


async def started(wait: Coroutine[Any, Any, Snapshot]) -> "asyncio.Task[Snapshot]":
    task = asyncio.create_task(wait)
    await settle()
    return task
