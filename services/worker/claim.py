"""Claiming a job: who may run it is settled by one conditional write.

Called by `work` for each message. The common case is one write that creates the document; whoever finds it there reads
it and decides by the rules of `contend`, which is pure. Leases and lifetimes are judged by the store's own clock alone:
the write that claims a job says when it was, and whoever claimed one too late ends it as expired before it starts. A
job that lost several leases runs alone, and is claimed by who has a seat for it: while it waits for one it has no lease
to lose. A tombstone whose writer knew only the job's id gets the rest from the message.
"""

from collections.abc import Callable
from dataclasses import replace

from services.worker.store_time import StoreTime
from shared.clock import Clock
from shared.errors import CommitUnknown, StoreUnavailable
from shared.models.envelope import Envelope
from shared.models.job import ErrorCode, Job, JobError, JobStatus
from shared.storage.contract import JobClaims, Stored, Version, WriteResult
from shared.values import value

MAX_LOST = 5
"""Leases a job may lose before it is taken to kill its workers."""
ALONE_FROM_LOST = 2
"""Leases lost, from which on a job runs in a process of its own."""
FRESH_SHARE = 0.5
"""Of its lease: a claim of which we hear later is renewed before the job starts, lest another takes it then."""
MAX_ROUNDS = 8


@value(frozen=True, slots=True)
class Claimed:
    """This worker runs the job."""

    job: Job
    version: Version


@value(frozen=True, slots=True)
class Over:
    """The job is terminal: whatever was not told is told again."""

    job: Job


@value(frozen=True, slots=True)
class Old:
    """The message belongs to an attempt that is past."""


@value(frozen=True, slots=True)
class Busy:
    """Another worker's lease lives, for so many seconds yet. It may be the owner's own message: never acknowledge."""

    seconds: float


Claim = Claimed | Over | Old | Busy


class Suspected(Exception):
    """The job may have killed its workers and has to run alone: to be claimed again by who has a seat for it."""


@value(frozen=True, slots=True)
class Claimant:
    """Who claims: written into every claim."""

    worker: str
    lease_seconds: int
    fence: Callable[[], str]
    """Draws a random fence."""

    def take(self, job: Job, *, attempt: int, at: int) -> Job:
        return job.claimed(
            attempt=attempt, fence=self.fence(), worker=self.worker, lease_seconds=self.lease_seconds, at=at
        )


class Claims:
    def __init__(self, store: JobClaims, claimant: Claimant, clock: Clock) -> None:
        self._store = store
        self._claimant = claimant
        self._clock = clock
        self._time = StoreTime(clock)

    async def claim(self, envelope: Envelope, *, seated: bool = False) -> Claim:
        """seated: the job can run alone.

        Raises Suspected where it has to, and StoreUnavailable when it could not be settled; nothing is held then.
        """
        now = self._clock.now()
        fresh = Job.queued(envelope.spec)
        expired = self._time.reached(envelope.spec.expires_at)
        wanted = fresh.expired(at=now) if expired else self._claimant.take(fresh, attempt=envelope.attempt, at=now)
        for _ in range(MAX_ROUNDS):
            try:
                result = await self._store.create(wanted)
            except CommitUnknown:
                result = None
            if isinstance(result, Version):
                return await self._begun(wanted, result)
            stored = await self._store.read(envelope.spec.id)
            if stored is not None:
                return await self._contend(envelope, stored, wanted.fence, seated=seated)
        raise StoreUnavailable("the claim could not be settled")

    async def _contend(self, envelope: Envelope, found: Stored[Job] | None, fence: str, *, seated: bool) -> Claim:
        """Win or lose against what is stored, round by round until a write or a rule settles it."""
        fences = {fence} - {""}
        for _ in range(MAX_ROUNDS):
            if found is None:
                break
            ours = found.value.fence in fences and found.value.status is JobStatus.RUNNING
            if ours and found.idle_seconds < found.value.lease_seconds * FRESH_SHARE:
                return await self._begun(found.value, found.version)
            ruling = found.value if ours else contend(envelope, found, self._claimant, self._clock.now())
            if not isinstance(ruling, Job):
                return ruling
            if suspected(ruling) and not seated:
                raise Suspected
            fences.add(ruling.fence)
            result = await self._write(ruling, found)
            if isinstance(result, Version):
                if ours:
                    return await self._begun(ruling, result)
                self._time.heard(result)
                return Over(ruling) if ruling.status.terminal else Claimed(ruling, result)
            found = await self._store.read(envelope.spec.id)
        raise StoreUnavailable("the claim could not be settled")

    async def _begun(self, job: Job, version: Version) -> Claim:
        """A claim whose writing says when it was. Of a first one that came too late, the job never starts."""
        self._time.heard(version)
        if job.status.terminal:
            return Over(job)
        if job.lost or job.attempt > 1 or version.updated_at < job.spec.expires_at * 1_000:
            return Claimed(job, version)
        late = replace(job, started_at=None).expired(at=self._clock.now())
        if isinstance(await self._write(late, Stored(job, version, version.updated_at)), Version):
            return Over(late)
        raise StoreUnavailable("the end of a claim that came too late could not be settled")

    async def _write(self, ruling: Job, found: Stored[Job]) -> WriteResult | None:
        """None when it is not known whether it was written."""
        try:
            if found.value.spec.known:
                return await self._store.update(ruling, found.version)
            return await self._store.replace(ruling, found.version)
        except CommitUnknown:
            return None


def contend(envelope: Envelope, stored: Stored[Job], claimant: Claimant, now: int) -> Job | Over | Old | Busy:
    """What a message is to a stored job: nothing to do, nothing yet, or the state to write."""
    job = stored.value
    if job.status.terminal:
        return _contend_over(envelope, job)
    if job.status is JobStatus.RUNNING:
        return _contend_running(envelope, stored, claimant, now)
    if job.cancel_requested_at is not None:
        return job.canceled(at=now)
    if envelope.attempt <= job.attempt:
        return Old()
    if stored.read_at >= job.spec.expires_at * 1_000:
        return job.expired(at=now)
    return claimant.take(job, attempt=envelope.attempt, at=now)


def _contend_over(envelope: Envelope, job: Job) -> Job | Over:
    """A tombstone without a spec gets it; a stub does not, but what is told of it says which job it was."""
    if job.spec.known:
        return Over(job)
    completed = job.completed(envelope.spec)
    if job.deleted_at is not None:
        return Over(completed.erased(at=job.deleted_at))
    return completed


def _contend_running(envelope: Envelope, stored: Stored[Job], claimant: Claimant, now: int) -> Job | Old | Busy:
    job = stored.value
    left = job.lease_seconds - stored.idle_seconds
    if left > 0:
        return Old() if envelope.attempt < job.attempt else Busy(left)
    if job.cancel_requested_at is not None:
        return job.canceled(at=now)
    taken = claimant.take(job, attempt=job.attempt, at=now)
    return given_up(taken, at=now) if taken.lost >= MAX_LOST else taken


def suspected(job: Job) -> bool:
    """Whether the job is to run, and alone."""
    return job.status is JobStatus.RUNNING and job.lost >= ALONE_FROM_LOST


def given_up(job: Job, *, at: int) -> Job:
    """Failed, for it took the worker with it too often."""
    reason = f"the worker was lost {job.lost} times while it ran"
    return job.failed(JobError(ErrorCode.WORKER_LOST, reason, retryable=False), at=at)
