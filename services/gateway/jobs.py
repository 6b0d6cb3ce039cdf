"""The endpoints of jobs: post one, read one, wait for one."""

import asyncio
import logging

from aiohttp import web

from services.gateway.answers import job_answer, with_input
from services.gateway.edge import TRAIL
from services.gateway.headers import known_order, wait_seconds
from services.gateway.limits import read_json
from services.gateway.problems import INVALID_REQUEST, Problem
from services.gateway.settings import Settings
from services.gateway.status import Statuses
from services.gateway.submission import parse_submission
from services.gateway.submit import Submitter
from services.gateway.waiting import Waiting
from shared.cache.contract import Teller
from shared.clock import Clock
from shared.errors import CacheUnavailable, Overloaded
from shared.models.key import ApiKey
from shared.models.public import Snapshot, snapshot

_log = logging.getLogger("sluice.gateway")


class Jobs:
    def __init__(
        self,
        settings: Settings,
        *,
        submitter: Submitter,
        statuses: Statuses,
        waiting: Waiting,
        teller: Teller,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._submitter = submitter
        self._statuses = statuses
        self._waiting = waiting
        self._teller = teller
        self._clock = clock
        self._telling: set[asyncio.Task[None]] = set()

    async def post(self, request: web.Request, key: ApiKey) -> web.Response:
        """`POST /v1/jobs`: 202 once it will happen; 200 if it was over within `Prefer: wait`."""
        body = await read_json(request, max_bytes=self._settings.max_body_bytes, seconds=self._settings.body_seconds)
        submission = parse_submission(body, now=self._clock.now())
        job = await self._submitter.submit(submission, tenant=key.tenant, traceparent=request[TRAIL].traceparent)
        accepted = snapshot(job)
        self._tell(accepted)
        headers = {"Location": f"/v1/jobs/{job.spec.id}"}
        wait = wait_seconds(request.headers.getall("Prefer", ()))
        if wait is None:
            return job_answer(accepted, status=202, headers=headers)
        headers["Preference-Applied"] = f"wait={wait}"
        issued = self._statuses.verify(job.spec.id, key.tenant)
        latest = await self._waiting.wait(issued, seconds=wait, fresh=accepted)
        return job_answer(latest, status=200 if latest.terminal else 202, headers=headers)

    async def get(self, request: web.Request, key: ApiKey) -> web.Response:
        """`GET /v1/jobs/{id}`: the state; with `Prefer: wait`, once it is terminal or has changed."""
        issued = self._statuses.verify(request.match_info["id"], key.tenant)
        if _expand(request):
            return await self._with_input(request, key)
        if_none_match = request.headers.get("If-None-Match")
        known = known_order(if_none_match)
        wait = wait_seconds(request.headers.getall("Prefer", ()))
        if wait is None:
            found = await self._statuses.read(issued, at_least=known or 0)
            return job_answer(found, if_none_match=if_none_match)
        found = self._statuses.at_hand(issued.text, key.tenant) or await self._waiting.wait(
            issued, seconds=wait, known=known
        )
        return job_answer(found, if_none_match=if_none_match, headers={"Preference-Applied": f"wait={wait}"})

    async def aclose(self) -> None:
        """Let what is being told be told."""
        await asyncio.gather(*self._telling)

    async def _with_input(self, request: web.Request, key: ApiKey) -> web.Response:
        issued = self._statuses.verify(request.match_info["id"], key.tenant)
        job = await self._statuses.document(issued)
        found = snapshot(job) if job else await self._statuses.stored(issued)
        body = with_input(found, job.spec.input if job else None)
        return job_answer(Snapshot(found.id, found.order, found.terminal, body))

    def _tell(self, accepted: Snapshot) -> None:
        """Give Redis what is known of the new job, off the critical path: whoever reads it meanwhile asks the store."""
        task = asyncio.create_task(self._try_to_tell(accepted), name=f"tell {accepted.id}")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _try_to_tell(self, accepted: Snapshot) -> None:
        try:
            await self._teller.tell(accepted)
        except (CacheUnavailable, Overloaded) as fault:
            _log.debug("an accepted job was not cached", extra={"fault": type(fault).__name__})


def _expand(request: web.Request) -> bool:
    unknown = set(request.query) - {"expand"}
    if unknown or request.query.get("expand", "input") != "input":
        raise Problem(INVALID_REQUEST, "The query takes `expand=input` only.")
    return "expand" in request.query
