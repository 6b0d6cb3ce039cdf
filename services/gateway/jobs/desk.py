"""Where jobs are accepted, whatever asks for them: what that takes, and what requests for a job have in common.

Used by `posting` and `replay`, each of which says how it finds the job's spec.
"""

from collections.abc import Coroutine
from typing import Any

from services.gateway.http.answers import Accepted
from services.gateway.jobs.sharing import Sharing
from services.gateway.jobs.status import Statuses
from services.gateway.jobs.submission import Submission
from services.gateway.jobs.submit import Submitter
from shared.cache.contract import Recent
from shared.clock import Clock
from shared.ids import IssuedId
from shared.models.job import JobSpec
from shared.models.public import snapshot
from shared.values import value


@value(frozen=True, slots=True)
class Desk:
    """What it takes to accept jobs."""

    submitter: Submitter
    sharing: Sharing
    statuses: Statuses
    recent: Recent
    clock: Clock

    async def accept(self, spec: JobSpec) -> Accepted:
        """The job as accepted. Raises Problem."""
        state = snapshot(await self.submitter.accept(spec))
        self.recent.add(spec.tenant, state)
        return Accepted(state)


@value(frozen=True, slots=True)
class JobWork:
    """A request for a job: of the `Work` of its key, what is the same however the spec is found. All raise Problem."""

    desk: Desk
    tenant: str
    traceparent: str | None

    async def recall(self, id: str) -> Accepted:
        """What became of a job that was accepted."""
        statuses = self.desk.statuses
        return Accepted(await statuses.read(statuses.verify(id, self.tenant)))

    async def look_for(self, id: str) -> Accepted | None:
        """What became of a job, or None where nothing shows that it was accepted."""
        statuses = self.desk.statuses
        issued = statuses.verify(id, self.tenant)
        known = await statuses.known(issued)
        if known is None and self.desk.clock.now() >= issued.expires_at:
            known = await statuses.stored(issued)
        return None if known is None else Accepted(known)

    async def prepare(self, submission: Submission, *, under: IssuedId | None = None) -> JobSpec:
        """The job that is asked for. under: its id, if it has one."""
        return await self.desk.submitter.prepare(
            submission, tenant=self.tenant, traceparent=self.traceparent, under=under
        )


@value(frozen=True, slots=True)
class Own:
    """A job that is nobody else's. known_until: its key is remembered until then, or longer (milliseconds, epoch)."""

    desk: Desk
    spec: JobSpec
    known_until: int = 0

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def expires_at(self) -> int:
        return max(self.spec.expires_at, self.known_until)

    @property
    def takes_seconds(self) -> int:
        return self.desk.submitter.takes_seconds

    def accept(self) -> Coroutine[Any, Any, Accepted]:
        return self.desk.accept(self.spec)

    def withdraw(self) -> None:
        """Nobody has heard of it."""
