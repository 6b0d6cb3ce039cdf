"""What the contract suite runs on: every repository of one store, in memory or on the Firestore emulator."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from shared.clock import SystemClock
from shared.storage.contract import Catalogue, JobClaims, Keys, Probe, Schedules, TimerRemoval, Timers
from shared.storage.firestore import (
    FirestoreCatalogue,
    FirestoreDatabase,
    FirestoreJobs,
    FirestoreKeys,
    FirestoreTimers,
    Limits,
)
from shared.storage.memory import MemoryCatalogue, MemoryDatabase, MemoryJobs, MemoryKeys, MemoryTimers

PATIENT = Limits(deadline_seconds=30.0)
"""For tests in which no deadline is meant to pass, on a machine that may be busy."""


class Jobs(JobClaims, Schedules, Protocol):
    """Everything that is asked of the repository of jobs."""


class AllTimers(Timers, TimerRemoval, Protocol):
    """Everything that is asked of the repository of timers."""


@dataclass(frozen=True, slots=True)
class Subject:
    jobs: Jobs
    timers: AllTimers
    catalogue: Catalogue
    keys: Keys
    probe: Probe


def memory_subject() -> Subject:
    database = MemoryDatabase(SystemClock())
    return Subject(
        MemoryJobs(database), MemoryTimers(database), MemoryCatalogue(database), MemoryKeys(database), database
    )


def new_project() -> str:
    """The name of a project that nobody has used: the emulator keeps projects apart."""
    return f"test-{os.urandom(6).hex()}"


@asynccontextmanager
async def firestore_subject(address: str) -> AsyncIterator[Subject]:
    async with FirestoreDatabase(new_project(), address, limits=PATIENT) as database:
        yield Subject(
            FirestoreJobs(database),
            FirestoreTimers(database),
            FirestoreCatalogue(database),
            FirestoreKeys(database),
            database,
        )
