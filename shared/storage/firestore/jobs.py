"""`jobs/{id}`: one document a job. The contract's JobClaims on Firestore."""

from dataclasses import dataclass
from typing import Final

from shared.models.job import Job, JobStatus
from shared.storage.contract import Stored, Timer, Version, WriteResult
from shared.storage.firestore import writes
from shared.storage.firestore.database import FirestoreDatabase
from shared.storage.firestore.job_codec import STATE_FIELDS, job_of, set_spec, set_state
from shared.storage.firestore.protobuf import BatchWriteRequest, CommitRequest, Message
from shared.storage.firestore.timers import set_timer
from shared.storage.firestore.writes import ENCODING

DAY_MS: Final = 24 * 3_600_000
MESSAGES_LAST_MS: Final = 8 * DAY_MS
"""Subscriptions keep messages for 7 days: a late duplicate must still meet the document."""


@dataclass(frozen=True, slots=True)
class Retention:
    """For how long a finished job can be read."""

    succeeded_ms: int = DAY_MS
    otherwise_ms: int = 7 * DAY_MS

    def expire_at(self, job: Job) -> int:
        """When the document may vanish: nothing needs it any more, and no message about it is left."""
        over = job.spec.expires_at
        if job.finished_at is not None:
            kept = self.succeeded_ms if job.status is JobStatus.SUCCEEDED else self.otherwise_ms
            over = max(over, job.finished_at + kept)
        return over + MESSAGES_LAST_MS


class FirestoreJobs:
    """See `JobClaims`."""

    def __init__(self, database: FirestoreDatabase, retention: Retention | None = None) -> None:
        self._database = database
        self._retention = retention or Retention()
        self._jobs = database.collection("jobs")
        self._timers = database.collection("timers")

    async def read(self, id: str) -> Stored[Job] | None:
        found = await self._database.read(self._jobs.name(id))
        if found is None:
            return None
        return Stored(job_of(id, found.document.fields), found.version, found.read_at)

    async def create(self, job: Job) -> WriteResult:
        name = self._jobs.name(job.spec.id)
        request = BatchWriteRequest()
        with ENCODING:
            fields = writes.create(request, name)
            set_spec(fields, job.spec)
            set_state(fields, job, expire_at=self._retention.expire_at(job))
        return await self._database.write(name, request.SerializeToString())

    async def update(self, job: Job, held: Version) -> WriteResult:
        name = self._jobs.name(job.spec.id)
        request = BatchWriteRequest()
        self._add_update(request, name, job, held)
        return await self._database.write(name, request.SerializeToString())

    async def update_with_timer(self, job: Job, held: Version, timer: Timer) -> WriteResult:
        request = CommitRequest()
        self._add_update(request, self._jobs.name(job.spec.id), job, held)
        with ENCODING:
            set_timer(writes.create(request, self._timers.name(timer.id)), timer)
        return await self._database.commit(request.SerializeToString())

    def _add_update(self, request: Message, name: str, job: Job, held: Version) -> None:
        with ENCODING:
            fields = writes.update(request, name, held, STATE_FIELDS)
            set_state(fields, job, expire_at=self._retention.expire_at(job), replaces=held)
