"""`jobs/{id}`: one document a job. The contract's JobClaims on Firestore."""

from shared.models.job import Job, Retention
from shared.storage.contract import Stored, Timer, Version, WriteResult
from shared.storage.firestore import writes
from shared.storage.firestore.database import FirestoreDatabase
from shared.storage.firestore.job_codec import State, job_of, replacing, set_spec, set_state, state_of
from shared.storage.firestore.protobuf import BatchWriteRequest, CommitRequest, Message
from shared.storage.firestore.timers import set_timer
from shared.storage.firestore.writes import ENCODING


class FirestoreJobs:
    """See `JobClaims`, `Schedules` and `JobErasure`."""

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
        self._add_create(request, name, job)
        return await self._database.write(name, request.SerializeToString())

    async def schedule(self, job: Job, timer: Timer) -> WriteResult:
        request = CommitRequest()
        self._add_create(request, self._jobs.name(job.spec.id), job)
        with ENCODING:
            set_timer(writes.create(request, self._timers.name(timer.id)), timer)
        return await self._database.commit(request.SerializeToString())

    async def update(self, job: Job, held: Version, *, before: Job | None = None) -> WriteResult:
        name = self._jobs.name(job.spec.id)
        request = BatchWriteRequest()
        self._add_update(request, name, job, held, before)
        return await self._database.write(name, request.SerializeToString())

    async def replace(self, job: Job, held: Version) -> WriteResult:
        name = self._jobs.name(job.spec.id)
        request = BatchWriteRequest()
        with ENCODING:
            fields = writes.replace(request, name, held)
            set_spec(fields, job.spec, listed=job.deleted_at is None)
            set_state(fields, replacing(held, self._state(job)))
        return await self._database.write(name, request.SerializeToString())

    async def update_with_timer(self, job: Job, held: Version, timer: Timer) -> WriteResult:
        request = CommitRequest()
        self._add_update(request, self._jobs.name(job.spec.id), job, held)
        with ENCODING:
            set_timer(writes.create(request, self._timers.name(timer.id)), timer)
        return await self._database.commit(request.SerializeToString())

    def _add_create(self, request: Message, name: str, job: Job) -> None:
        with ENCODING:
            fields = writes.create(request, name)
            set_spec(fields, job.spec, listed=job.deleted_at is None)
            set_state(fields, self._state(job))

    def _add_update(self, request: Message, name: str, job: Job, held: Version, before: Job | None = None) -> None:
        state = replacing(held, self._state(job), before=None if before is None else self._state(before))
        with ENCODING:
            set_state(writes.update(request, name, held, [name for name, _ in state]), state)

    def _state(self, job: Job) -> State:
        return state_of(job, expire_at=self._retention.forget_at(job))
