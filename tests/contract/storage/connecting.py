"""A Firestore client on a scripted server, and the few things that its tests share."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from shared.models.job import Job
from shared.storage.contract import Version, WriteResult
from shared.storage.firestore import FirestoreDatabase, FirestoreJobs, Limits
from tests.contract.storage.samples import new_timer
from tests.contract.storage.scripted_firestore import ScriptedFirestore

T = TypeVar("T")

HELD: Final = Version(1)
MEGABYTE: Final = 1_000_000
PATIENT: Final = Limits(deadline_seconds=20.0)


@asynccontextmanager
async def connected(
    server: ScriptedFirestore, limits: Limits = PATIENT, *, jitter: float = 0.0
) -> AsyncIterator[FirestoreDatabase]:
    """jitter: 0 retries at once, 1 after the longest pause."""
    async with FirestoreDatabase("scripted", server.address, limits=limits, jitter=lambda: jitter) as database:
        yield database


def start(calls: Iterable[Awaitable[T]]) -> list["asyncio.Future[T]"]:
    return [asyncio.ensure_future(call) for call in calls]


def names(request: Any) -> list[str]:
    """The last parts of the names of the documents that a request writes."""
    return [write.update.name.rpartition("/")[2] for write in request.writes]


async def create(jobs: FirestoreJobs, job: Job) -> WriteResult:
    return await jobs.create(job)


async def update(jobs: FirestoreJobs, job: Job) -> WriteResult:
    return await jobs.update(job, HELD)


async def update_with_timer(jobs: FirestoreJobs, job: Job) -> WriteResult:
    return await jobs.update_with_timer(job, HELD, new_timer())
