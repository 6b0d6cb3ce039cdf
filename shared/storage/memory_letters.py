"""The contract of dead letters in memory, on the documents of a `MemoryDatabase`. Used by tests."""

from collections.abc import Sequence

from shared.models.job import Job
from shared.storage.dead_letters import DeadLetterFilter, DeadPlace
from shared.storage.memory import MemoryDatabase
from shared.storage.memory_values import summary


class MemoryDeadLetters:
    """See `DeadLetters`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._jobs = database.jobs

    async def page(self, wanted: DeadLetterFilter, *, after: DeadPlace | None, limit: int) -> Sequence[Job]:
        await self._database.answer()
        fitting = [job for job, _ in self._jobs.documents.values() if _fits(job, wanted)]
        below = [job for job in fitting if after is None or DeadPlace.of(job) < after]
        return [summary(job) for job in sorted(below, key=DeadPlace.of, reverse=True)[:limit]]


def _fits(job: Job, wanted: DeadLetterFilter) -> bool:
    at = job.finished_at
    return (
        job.fingerprint is not None
        and job.deleted_at is None
        and at is not None
        and wanted.tenant in {None, job.spec.tenant}
        and wanted.handler in {None, job.spec.handler}
        and wanted.fingerprint in {None, job.fingerprint}
        and (wanted.failed_after is None or at > wanted.failed_after)
        and (wanted.failed_before is None or at < wanted.failed_before)
    )
