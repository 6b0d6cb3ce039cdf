"""`POST /v1/jobs/{id}/cancel`: over at once if nobody runs it, else asked of whoever does. Persisted before the answer.

| the job is | what is written | answer |
|---|---|---|
| known by its id alone | a tombstone, which the worker meets and completes | 200 |
| waiting for its time or its retry | canceled; its timer's message will meet that | 200 |
| running, and its lease has lapsed | canceled; whoever held it can write no more | 200 |
| running | the request, unless it is there; its worker is called | 202 |
| canceled | nothing | 200 |
| over otherwise | nothing: a cancel that comes too late leaves the finish | 409 with the job |

Each write has the precondition of what was read, so of a cancel and a claim, or a cancel and a finish, one wins and the
other sees it. Who tells: the gateway, if it knows the whole job; of a tombstone the worker that completes it, for an
event without its batch or handler would pass for the whole one. Either way the event has the same id, and where telling
fails the job's message or timer is still there to have a worker tell.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import orjson
from aiohttp import web

from services.gateway.aside import Aside
from services.gateway.http.answers import job_answer
from services.gateway.http.asking import nothing_else
from services.gateway.http.problems import ALREADY_TERMINAL, Problem, gone, unavailable
from services.gateway.jobs.finished import Finished
from services.gateway.jobs.status import Statuses
from services.gateway.settings import Settings
from shared.cache.contract import CancelCaller, Flights, Teller
from shared.clock import Clock
from shared.errors import CacheUnavailable, CommitUnknown, Overloaded, Unavailable
from shared.ids import IssuedId
from shared.messaging.contract import Message, Publisher
from shared.messaging.topics import Names
from shared.models.canceling import canceled, known_by_id
from shared.models.event import job_event
from shared.models.job import Job, JobStatus, Retention
from shared.models.key import ApiKey
from shared.models.public import Snapshot, snapshot
from shared.storage.contract import JobWrites, Stored, Version

MAX_ROUNDS = 8
CANCEL_SECONDS = 5.0
"""For reads and writes together; a renewal that comes in between costs a round."""


@dataclass(frozen=True, slots=True)
class Changed:
    """This request has brought the job into its state."""

    job: Job


@dataclass(frozen=True, slots=True)
class Found:
    """The job was there already, or past it."""

    job: Job


class Telling:
    """Lets everyone know of a canceled job, or of the request. Whoever does not hear of it looks again."""

    def __init__(
        self,
        settings: Settings,
        *,
        teller: Teller,
        flights: Flights,
        caller: CancelCaller,
        publisher: Publisher,
        aside: Aside,
        clock: Clock,
    ) -> None:
        self._topic = Names(settings.prefix).events
        self._publish_seconds = settings.publish_seconds
        self._teller = teller
        self._flights = flights
        self._caller = caller
        self._publisher = publisher
        self._aside = aside
        self._clock = clock

    async def tell(self, outcome: Changed | Found, state: Snapshot) -> None:
        """Return once Redis knows, or does not answer; the rest is done beside."""
        job = outcome.job
        if job.status is JobStatus.RUNNING:
            self._aside.do(self._caller.call(job.worker, job.spec.id), "call a worker to cancel")
        if isinstance(outcome, Changed) and job.status is JobStatus.CANCELED:
            self._ended(job)
        with suppress(CacheUnavailable, Overloaded):
            await self._teller.tell(state)

    def _ended(self, job: Job) -> None:
        if job.spec.known:
            self._aside.do(self.publish(job), "tell of a canceled job")
        if job.spec.cache_key is not None:
            self._aside.do(self._flights.forget(job.spec.cache_key, job.spec.id), "end a canceled job's flight")

    async def publish(self, job: Job) -> None:
        """Publish the event of a job that is over. Raises BrokerUnavailable, Overloaded."""
        event = job_event(job, source="gateway", at=self._clock.now())
        message = Message(event.encode(), event.attributes)
        await self._publisher.publish(self._topic, message, timeout_seconds=self._publish_seconds)


class Cancels:
    def __init__(
        self,
        *,
        statuses: Statuses,
        finished: Finished,
        store: JobWrites,
        telling: Telling,
        retention: Retention,
        clock: Clock,
    ) -> None:
        self._statuses = statuses
        self._finished = finished
        self._store = store
        self._telling = telling
        self._retention = retention
        self._clock = clock

    async def post(self, request: web.Request, key: ApiKey) -> web.Response:
        """The endpoint."""
        issued = self._statuses.verify(request.match_info["id"], key.tenant)
        await nothing_else(request)
        outcome = await self.cancel(issued, key.tenant)
        state = snapshot(outcome.job)
        await self._telling.tell(outcome, state)
        self._finished.put(state)
        match outcome.job.status:
            case JobStatus.CANCELED:
                return job_answer(state)
            case JobStatus.RUNNING:
                return job_answer(state, status=202)
        raise Problem(
            ALREADY_TERMINAL,
            f"The job is {outcome.job.status}; it was too late to cancel it.",
            members={"job": orjson.Fragment(state.body)},
        )

    async def cancel(self, issued: IssuedId, tenant: str) -> Changed | Found:
        """The job as it is from now on. Raises Problem: 410 past retention, 503 when it could not be settled."""
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                for _ in range(MAX_ROUNDS):
                    stored = await self._store.read(issued.text)
                    ruling = self._ruling(issued, tenant, stored)
                    if isinstance(ruling, Found) or await self._written(ruling.job, stored):
                        return ruling
        except (Unavailable, Overloaded, TimeoutError):
            pass
        raise unavailable("It is not known whether the job will be canceled. Ask again.")

    def _ruling(self, issued: IssuedId, tenant: str, stored: Stored[Job] | None) -> Changed | Found:
        """What is to be written, or left as it is."""
        now = self._clock.now()
        job = stored.value if stored else known_by_id(issued, tenant, now)
        lapsed = stored is not None and stored.idle_seconds >= job.lease_seconds
        wanted = canceled(job, lapsed=lapsed, at=now)
        if wanted is not None:
            return Changed(wanted)
        if self._retention.over(job, now):
            raise gone()
        return Found(job)

    async def _written(self, wanted: Job, stored: Stored[Job] | None) -> bool:
        """False when somebody else wrote first, or when that is not known: look again."""
        try:
            if stored is None:
                return isinstance(await self._store.create(wanted), Version)
            return isinstance(await self._store.update(wanted, stored.version), Version)
        except CommitUnknown:
            return False
