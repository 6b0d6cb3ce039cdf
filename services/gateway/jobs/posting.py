"""`POST /v1/jobs`: 202 once the job will happen, 200 if it is over. Equal work is shared, and a retry runs nothing.

What can happen to a request, in order: it is refused; its Idempotency-Key says that it was accepted before; its result
is known, or its work under way (`sharing`); or it becomes a job of its own. Then it may wait.
"""

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from services.gateway.http.answers import Accepted, job_reply
from services.gateway.http.edge import TRAIL
from services.gateway.http.headers import idempotency_key, wait_seconds
from services.gateway.http.limits import read_json
from services.gateway.http.problems import Problem
from services.gateway.http.replies import Reply
from services.gateway.jobs.idempotency import Claim, Idempotency, Proposal, Replayed
from services.gateway.jobs.progress import Progress
from services.gateway.jobs.sharing import Sharing
from services.gateway.jobs.status import Statuses
from services.gateway.jobs.submission import Caching, Submission, parse_submission
from services.gateway.jobs.submit import Submitter
from services.gateway.jobs.waiting import Waiting
from services.gateway.settings import Settings
from services.gateway.statistics.run_times import RunTimes
from shared.cache.contract import Recent
from shared.clock import Clock
from shared.models.job import JobSpec
from shared.models.key import ApiKey
from shared.models.public import Snapshot, snapshot

ROUTE = "POST /v1/jobs"


@dataclass(frozen=True, slots=True)
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

    async def recall(self, id: str, tenant: str) -> Accepted:
        """What became of a job that was accepted. Raises Problem."""
        return Accepted(await self.statuses.read(self.statuses.verify(id, tenant)))

    async def look_for(self, id: str, tenant: str) -> Accepted | None:
        """What became of a job, or None where nothing shows that it was accepted. Raises Problem."""
        issued = self.statuses.verify(id, tenant)
        known = await self.statuses.known(issued)
        if known is None and self.clock.now() >= issued.expires_at:
            known = await self.statuses.stored(issued)
        return None if known is None else Accepted(known)


class Posting:
    def __init__(
        self,
        settings: Settings,
        *,
        desk: Desk,
        idempotency: Idempotency,
        waiting: Waiting,
        progress: Progress,
        run_times: RunTimes,
    ) -> None:
        self._settings = settings
        self._desk = desk
        self._idempotency = idempotency
        self._statuses = desk.statuses
        self._waiting = waiting
        self._progress = progress
        self._run_times = run_times
        self._clock = desk.clock

    async def post(self, request: web.Request, key: ApiKey) -> web.Response:
        """The endpoint."""
        body = await read_json(request, max_bytes=self._settings.max_body_bytes, seconds=self._settings.body_seconds)
        asked = Asked(request.headers, body, key.tenant, request[TRAIL].traceparent)
        accepted = await self.accept(asked)
        waited = None if asked.wait is None else await self._wait(accepted.state, key.tenant, asked.wait)
        if waited is None:
            return self.reply(accepted, None).response()
        return self.reply(Accepted(waited, accepted.headers), asked.wait).response()

    async def accept(self, asked: "Asked") -> Accepted:
        """The job, once it will happen. Raises Problem."""
        named = idempotency_key(asked.headers.getall("Idempotency-Key", ()))
        submission = parse_submission(asked.body, now=self._clock.now())
        order = Order(self._desk, asked.body, submission, asked.tenant, asked.traceparent)
        if named is None:
            return await (await order.propose()).accept()
        return await self._once(named, order)

    def reply(self, accepted: Accepted, waited: int | None) -> Reply:
        """waited: the seconds that the client was willing to, if that was honoured."""
        state, headers = accepted.state, {"Location": f"/v1/jobs/{accepted.state.id}", **accepted.headers}
        if waited is not None:
            headers["Preference-Applied"] = f"wait={waited}"
        status = 200 if state.terminal else 202
        return job_reply(state, status=status, headers=headers, retry_after=self._run_times.retry_after(state))

    async def _once(self, named: str, order: "Order") -> Accepted:
        claim = Claim.of(tenant=order.tenant, route=ROUTE, key=named, body=order.body)
        met = await self._idempotency.once(claim, order)
        if isinstance(met, Replayed):
            return Accepted(met.value.state, {**met.value.headers, "Idempotency-Replayed": "true"})
        return met.value

    async def _wait(self, state: Snapshot, tenant: str, seconds: int) -> Snapshot | None:
        """What it has come to after `seconds`; None without room to wait, which is no error: the job was accepted."""
        if state.terminal:
            return state
        try:
            issued = self._statuses.verify(state.id, tenant)
            return await self._progress.shown(await self._waiting.wait(issued, seconds=seconds, fresh=state))
        except Problem:
            return None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to this endpoint. body: its JSON."""

    headers: MultiMapping[str]
    body: Any
    tenant: str
    traceparent: str | None

    @property
    def wait(self) -> int | None:
        """Seconds that the client is willing to wait for the end."""
        return wait_seconds(self.headers.getall("Prefer", ()))


@dataclass(frozen=True, slots=True)
class Order:
    """One request for a job: the `Work` of its Idempotency-Key. body: what `submission` was read from."""

    desk: Desk
    body: Any
    submission: Submission
    tenant: str
    traceparent: str | None

    async def propose(self) -> "Proposal[Accepted]":
        spec = await self.desk.submitter.prepare(self.submission, tenant=self.tenant, traceparent=self.traceparent)
        if spec.cache_key is None:
            return Own(self.desk, spec)
        refresh = self.submission.cache is Caching.REFRESH
        return await self.desk.sharing.propose(spec, refresh=refresh)

    async def recall(self, id: str) -> Accepted:
        return await self.desk.recall(id, self.tenant)

    async def look_for(self, id: str) -> Accepted | None:
        return await self.desk.look_for(id, self.tenant)

    async def accept_under(self, id: str) -> Accepted:
        issued = self.desk.statuses.verify(id, self.tenant)
        submission = parse_submission(self.body, now=issued.created_at)
        spec = await self.desk.submitter.prepare(
            submission, tenant=self.tenant, traceparent=self.traceparent, under=issued
        )
        return await self.desk.accept(spec)


@dataclass(frozen=True, slots=True)
class Own:
    """A job that is nobody else's."""

    desk: Desk
    spec: JobSpec

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def expires_at(self) -> int:
        return self.spec.expires_at

    @property
    def takes_seconds(self) -> int:
        return self.desk.submitter.takes_seconds

    def accept(self) -> Coroutine[Any, Any, Accepted]:
        return self.desk.accept(self.spec)

    def withdraw(self) -> None:
        """Nobody has heard of it."""
