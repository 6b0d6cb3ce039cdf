"""`POST /v1/jobs`: 202 once the job will happen, 200 if it is over. Equal work is shared, and a retry runs nothing.

What can happen to a request, in order: it is refused; its Idempotency-Key says that it was accepted before; its result
is known, or its work under way (`sharing`); or it becomes a job of its own. Then it may wait.
"""

from typing import Any

from aiohttp import web
from multidict import MultiMapping

from services.gateway.http.answers import Accepted, job_reply
from services.gateway.http.edge import TRAIL
from services.gateway.http.headers import idempotency_key, wait_seconds
from services.gateway.http.limits import read_json
from services.gateway.http.problems import Problem
from services.gateway.http.replies import Reply
from services.gateway.jobs.desk import Desk, JobWork, Own
from services.gateway.jobs.idempotency import Claim, Idempotency, Proposal, Replayed
from services.gateway.jobs.progress import Progress
from services.gateway.jobs.submission import Caching, Submission, parse_submission
from services.gateway.jobs.waiting import Waiting
from services.gateway.settings import Settings
from services.gateway.statistics.run_times import RunTimes
from shared.models.key import ApiKey
from shared.models.public import Snapshot
from shared.values import value

ROUTE = "POST /v1/jobs"


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
        order = Order(self._desk, asked.tenant, asked.traceparent, asked.body, submission)
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


@value(frozen=True, slots=True)
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


@value(frozen=True, slots=True)
class Order(JobWork):
    """One request for a job: the `Work` of its Idempotency-Key. body: what `submission` was read from."""

    body: Any
    submission: Submission

    async def propose(self) -> "Proposal[Accepted]":
        spec = await self.prepare(self.submission)
        if spec.cache_key is None:
            return Own(self.desk, spec)
        refresh = self.submission.cache is Caching.REFRESH
        return await self.desk.sharing.propose(spec, refresh=refresh)

    async def accept_under(self, id: str) -> Accepted:
        issued = self.desk.statuses.verify(id, self.tenant)
        submission = parse_submission(self.body, now=issued.created_at)
        return await self.desk.accept(await self.prepare(submission, under=issued))
