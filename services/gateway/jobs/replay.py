"""`POST /v1/jobs/{id}/replay`: the same input again, as a new job with `replay_of`; 202, and 200 once that job is over.

A job can be replayed any number of times, and asking twice for one replay makes one: a replay has a number, 1 unless
the body says otherwise (`{"number": 2}`). Asking for a number that was asked for before answers with that replay, in
whatever state it is by then, and `Idempotency-Replayed: true`. So a client that got no answer asks again as it did, and
one that wants a further run asks for the next number. A replay can be replayed itself.

The number takes the place of an Idempotency-Key (`idempotency`), kept for as long as the job can be replayed. From
there on it is a submission like any other: checked by the handler as it is announced today, in the queue that the
handler is in today. Time limit, attempts, labels and lifetime are those of the original, counted from now; nothing is
shared with equal work, for who replays wants it to run.
"""

from dataclasses import replace
from typing import Any

import orjson
from aiohttp import web

from services.gateway.http.answers import Accepted, job_answer
from services.gateway.http.asking import small_object
from services.gateway.http.edge import TRAIL
from services.gateway.http.fields import Fields, whole
from services.gateway.http.problems import INPUT_UNKNOWN, NOT_TERMINAL, Problem
from services.gateway.jobs.desk import Desk, JobWork, Own
from services.gateway.jobs.idempotency import Claim, First, Idempotency, Proposal, Replayed
from services.gateway.jobs.submission import Caching, Submission
from shared.clock import MILLISECONDS
from shared.ids import Ids, IssuedId
from shared.models.job import Job, JobSpec, Retention
from shared.models.key import ApiKey
from shared.values import value

ROUTE = "POST /v1/jobs/{id}/replay"
MAX_NUMBER = 1_000


class Replays:
    def __init__(self, *, desk: Desk, idempotency: Idempotency, ids: Ids, retention: Retention) -> None:
        self._desk = desk
        self._idempotency = idempotency
        self._ids = ids
        self._retention = retention

    async def post(self, request: web.Request, key: ApiKey) -> web.Response:
        """The endpoint."""
        statuses = self._desk.statuses
        issued = statuses.verify(request.match_info["id"], key.tenant)
        number = _number(await small_object(request))
        state = await statuses.read(issued)  # 410 before anything else, and 409 most often without the store
        if not state.terminal:
            members = {"job": orjson.Fragment(state.body)}
            raise Problem(NOT_TERMINAL, "The job is not over yet. Wait for it, or cancel it.", members=members)
        met = await self.replay(issued, key.tenant, number=number, traceparent=request[TRAIL].traceparent)
        job = met.value.state
        headers = {"Location": f"/v1/jobs/{job.id}"}
        if isinstance(met, Replayed):
            headers["Idempotency-Replayed"] = "true"
        return job_answer(job, status=200 if job.terminal else 202, headers=headers)

    async def replay(
        self, origin: IssuedId, tenant: str, *, number: int, traceparent: str | None
    ) -> First[Accepted] | Replayed[Accepted]:
        """The replay of a job that is over, made now or when that number was asked for first. Raises Problem."""
        asked = self._asked(origin, tenant, number, traceparent)
        return await self._idempotency.once(_claim(origin, tenant, number), asked)

    async def foresee(self, origin: IssuedId, tenant: str, *, number: int) -> str | None:
        """The id of the replay, if it was asked for before; None if it would be made now. Changes nothing.

        Raises the Problem that `replay` would.
        """
        used = await self._idempotency.used(_claim(origin, tenant, number))
        if used is None:
            await self._asked(origin, tenant, number, None).propose()
        return used

    def _asked(self, origin: IssuedId, tenant: str, number: int, traceparent: str | None) -> "Replaying":
        return Replaying(self._desk, tenant, traceparent, self._ids, self._retention, origin, number)


def _claim(origin: IssuedId, tenant: str, number: int) -> Claim:
    return Claim.of(tenant=tenant, route=ROUTE, key=f"{origin.text}:{number}", body=None)


@value(frozen=True, slots=True)
class Replaying(JobWork):
    """One request for a replay: the `Work` of its number."""

    ids: Ids
    retention: Retention
    origin: IssuedId
    number: int

    async def propose(self) -> Proposal[Accepted]:
        job = await self._original()
        now = self.desk.clock.now()
        lifetime = _lifetime_seconds(job) * MILLISECONDS
        issued = self.ids.issue_from(
            "job", self.tenant, self.origin.text, f"replay:{self.number}", created_at=now, lifetime_ms=lifetime
        )
        # its number must be known for as long as the original may be replayed
        return Own(self.desk, await self._spec(job, issued), known_until=self.retention.until(job))

    async def accept_under(self, id: str) -> Accepted:
        issued = self.desk.statuses.verify(id, self.tenant)
        return await self.desk.accept(await self._spec(await self._original(), issued))

    async def _original(self) -> Job:
        """The job to replay, whole. Raises Problem: 409 without its input, 410 past its retention."""
        job = await self.desk.statuses.document(self.origin)
        if job is None or not job.spec.known:
            raise Problem(INPUT_UNKNOWN, "The job ended before a worker met it, so its input is not at hand yet.")
        return job

    async def _spec(self, job: Job, issued: IssuedId) -> JobSpec:
        spec = job.spec
        submission = Submission(
            spec.handler,
            orjson.loads(spec.input),
            timeout_seconds=spec.timeout_seconds,
            max_attempts=spec.max_attempts,
            expires_in_seconds=_lifetime_seconds(job),
            labels=spec.labels,
            cache=Caching.OFF,
        )
        return replace(await self.prepare(submission, under=issued), replay_of=spec.id)


def _number(body: Any) -> int:
    fields = Fields(body, of="a replay")
    number: int | None = fields.optional("number", whole(least=1, most=MAX_NUMBER))
    fields.finish()
    return 1 if number is None else number


def _lifetime_seconds(job: Job) -> int:
    """How long the original had from when it might start."""
    began = max(job.spec.created_at, job.spec.scheduled_for or 0)
    return max(1, (job.spec.expires_at - began) // MILLISECONDS)
