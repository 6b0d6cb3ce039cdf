"""`POST /v1/dead-letters/replay`: run again what was given up on, one by its id or many by a filter. Scope `operator`.

A replay is a new job with `replay_of`; the dead letter stays what it is. It is the very replay that
`POST /v1/jobs/{id}/replay` makes (`replay`, number 1), so whoever asks, however often and from wherever, makes one new
job of each dead letter.

One request does a bounded part and says in `next` where to go on; nothing goes on behind an answer, or behind a client
that has left. What was replayed by then is; who asks the same again finds that done and goes on where it broke off.
Latest first, in the order of the list, so that what dies anew while it goes on is not replayed by the same pass.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson
from aiohttp import web

from services.gateway.access.tenants import seen_tenant, sees_all
from services.gateway.http.asking import small_object
from services.gateway.http.edge import TRAIL
from services.gateway.http.paging import Cursors
from services.gateway.http.problems import IDEMPOTENCY_IN_PROGRESS, UNAVAILABLE, Problem, ProblemType, not_found
from services.gateway.jobs.idempotency import Replayed
from services.gateway.jobs.replay import Replays
from services.gateway.jobs.status import Statuses
from services.gateway.operators.dead_letters import Letters, listing_of
from services.gateway.operators.dead_requests import ReplayRequest, parse_replay, place_of, spelled
from shared.clock import Clock
from shared.models.job import Job
from shared.models.key import ApiKey
from shared.storage.contract import JobReader
from shared.storage.dead_letters import DeadLetterFilter, DeadPlace

NUMBER: Final = 1
"""Of the replay that is made: asking again finds it."""
REQUEST_SECONDS: Final = 5.0
"""For which one request goes on, so that a drain never waits long for it."""
PAGE: Final = 100
"""Dead letters that are looked up at a time."""
SIDE_BY_SIDE: Final = 16
STEPS_PER_SECOND: Final = 4
"""In which a slow pace is kept."""


class Outcome(StrEnum):
    """What became of a dead letter, or on a dry run would."""

    REPLAYED = "replayed"
    WOULD_REPLAY = "would_replay"
    REPLAYED_BEFORE = "replayed_before"
    """Its new job was made by an earlier request."""
    IN_PROGRESS = "in_progress"
    """Another request is making its new job right now. Ask again to be sure that it was made."""
    REFUSED = "refused"
    """It cannot be replayed: `problem` says why."""


@dataclass(frozen=True, slots=True)
class Result:
    job: Job
    outcome: Outcome
    replay: str | None = None
    problem: Problem | None = None

    def shown(self) -> dict[str, Any]:
        spec, problem = self.job.spec, self.problem
        return {
            "id": spec.id,
            "tenant": spec.tenant,
            "handler": spec.handler,
            "fingerprint": self.job.fingerprint,
            "outcome": self.outcome,
            "replay": self.replay,
            "problem": problem and f"/problems/{problem.type.slug}",
            "detail": problem and problem.detail,
        }


@dataclass(frozen=True, slots=True)
class DeadReplays:
    letters: Letters
    replays: Replays
    statuses: Statuses
    store: JobReader
    cursors: Cursors
    clock: Clock

    async def post(self, request: web.Request, key: ApiKey) -> web.Response:
        """The endpoint."""
        asked = parse_replay(await small_object(request))
        traceparent = request[TRAIL].traceparent
        if asked.id is not None:
            result = await self._settled(await self._letter(asked.id, key), asked, traceparent)
            return _answer(asked, [result], None)
        tenant = seen_tenant(asked.tenant, key)
        listing = listing_of(tenant)
        after = place_of(self.cursors.open(listing, asked.cursor)) if asked.cursor else None
        wanted = DeadLetterFilter(tenant, **(asked.wanted or {}))
        results, goes_on = await self._all(wanted, after, asked, traceparent)
        cursor = None if goes_on is None else self.cursors.seal(listing, spelled(goes_on))
        return _answer(asked, results, cursor)

    async def _letter(self, id: str, key: ApiKey) -> Job:
        """The dead letter by that id. Raises Problem 404 if there is none that the key may see."""
        stored = None
        if sees_all(key):  # whose it is, the document says; the id then proves it
            stored = await self.store.read(id)
        issued = self.statuses.verify(id, stored.value.spec.tenant if stored else key.tenant)
        job = await self.statuses.document(issued)
        if job is None or job.fingerprint is None:
            raise not_found()
        return job

    async def _all(
        self, wanted: DeadLetterFilter, after: DeadPlace | None, asked: ReplayRequest, traceparent: str | None
    ) -> tuple[list[Result], DeadPlace | None]:
        """What was done within a request's bounds, and the place behind which to go on. Raises Problem."""
        began = self.clock.monotonic()
        results: list[Result] = []
        while len(results) < asked.limit:
            page = await self.letters.page(wanted, after=after, limit=min(PAGE, asked.limit - len(results)))
            for step in _steps(page.jobs, asked):
                if results and self.clock.monotonic() - began >= REQUEST_SECONDS:
                    return results, after
                try:
                    results += await self._side_by_side(step, asked, traceparent)
                except Problem:
                    if not results:
                        raise
                    return results, after
                after = DeadPlace.of(step[-1])
                await self._keep_pace(began, len(results), asked)
            after = page.goes_on
            if after is None:
                break
        return results, after

    async def _side_by_side(
        self, jobs: Sequence[Job], asked: ReplayRequest, traceparent: str | None
    ) -> Sequence[Result]:
        """What became of each. Raises Problem if that of any is not known; doing all again is harmless."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._settled(job, asked, traceparent)) for job in jobs]
        except* Problem as problems:
            raise _first(problems) from None
        return [task.result() for task in tasks]

    async def _settled(self, job: Job, asked: ReplayRequest, traceparent: str | None) -> Result:
        """Raises Problem 503 when nobody can tell what became of it."""
        try:
            return await (self._foreseen(job) if asked.dry_run else self._replayed(job, traceparent))
        except Problem as problem:
            if problem.type is UNAVAILABLE:
                raise
            return Result(job, _refusal(problem.type), problem=problem)

    async def _replayed(self, job: Job, traceparent: str | None) -> Result:
        tenant = job.spec.tenant
        issued = self.statuses.verify(job.spec.id, tenant)
        met = await self.replays.replay(issued, tenant, number=NUMBER, traceparent=traceparent)
        outcome = Outcome.REPLAYED_BEFORE if isinstance(met, Replayed) else Outcome.REPLAYED
        return Result(job, outcome, met.value.state.id)

    async def _foreseen(self, job: Job) -> Result:
        issued = self.statuses.verify(job.spec.id, job.spec.tenant)
        made = await self.replays.foresee(issued, job.spec.tenant, number=NUMBER)
        return Result(job, Outcome.WOULD_REPLAY if made is None else Outcome.REPLAYED_BEFORE, made)

    async def _keep_pace(self, began: float, done: int, asked: ReplayRequest) -> None:
        """Wait until so many may have been done; also before an answer, for who asks on at once keeps the pace, too."""
        if not asked.dry_run:
            await self.clock.sleep(max(0.0, began + done / asked.rate_per_second - self.clock.monotonic()))


def _steps(jobs: Sequence[Job], asked: ReplayRequest) -> Iterator[Sequence[Job]]:
    """What is done at a time: the slower the pace, the less."""
    size = max(1, min(SIDE_BY_SIDE, asked.rate_per_second // STEPS_PER_SECOND))
    return (jobs[start : start + size] for start in range(0, len(jobs), size))


def _refusal(type: ProblemType) -> Outcome:
    return Outcome.IN_PROGRESS if type is IDEMPOTENCY_IN_PROGRESS else Outcome.REFUSED


def _first(problems: BaseExceptionGroup[Problem]) -> Problem:
    for problem in problems.exceptions:
        return _first(problem) if isinstance(problem, BaseExceptionGroup) else problem
    raise AssertionError("a group of none")


def _answer(asked: ReplayRequest, results: Sequence[Result], cursor: str | None) -> web.Response:
    counts = {str(outcome): sum(result.outcome is outcome for result in results) for outcome in Outcome}
    body = {
        "dry_run": asked.dry_run,
        "counts": counts,
        "data": [result.shown() for result in results],
        "next": cursor,
    }
    return web.Response(body=orjson.dumps(body), content_type="application/json", headers={"Cache-Control": "no-store"})
