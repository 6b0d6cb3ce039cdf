"""The endpoints of a job that exists: read it, wait for it."""

from aiohttp import web

from services.gateway.http.answers import job_answer, with_input
from services.gateway.http.headers import known_order, wait_seconds
from services.gateway.http.problems import INVALID_REQUEST, Problem
from services.gateway.jobs.progress import Progress
from services.gateway.jobs.status import Statuses
from services.gateway.jobs.waiting import Waiting
from services.gateway.statistics.run_times import RunTimes
from shared.models.key import ApiKey
from shared.models.public import Snapshot, snapshot


class Jobs:
    def __init__(self, *, statuses: Statuses, waiting: Waiting, progress: Progress, run_times: RunTimes) -> None:
        self._statuses = statuses
        self._waiting = waiting
        self._progress = progress
        self._run_times = run_times

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
            found = await self._progress.shown(found)
            return job_answer(found, if_none_match=if_none_match, retry_after=self._run_times.retry_after(found))
        found = self._statuses.at_hand(issued.text, key.tenant) or await self._waiting.wait(
            issued, seconds=wait, known=known
        )
        found = await self._progress.shown(found)
        return job_answer(
            found,
            if_none_match=if_none_match,
            headers={"Preference-Applied": f"wait={wait}"},
            retry_after=self._run_times.retry_after(found),
        )

    async def _with_input(self, request: web.Request, key: ApiKey) -> web.Response:
        issued = self._statuses.verify(request.match_info["id"], key.tenant)
        job = await self._statuses.document(issued)
        found = snapshot(job) if job else await self._statuses.stored(issued)
        found = await self._progress.shown(found)
        body = with_input(found, job.spec.input if job else b"")
        return job_answer(Snapshot(found.id, found.order, found.terminal, body))


def _expand(request: web.Request) -> bool:
    unknown = set(request.query) - {"expand"}
    if unknown or request.query.get("expand", "input") != "input":
        raise Problem(INVALID_REQUEST, "The query takes `expand=input` only.")
    return "expand" in request.query
