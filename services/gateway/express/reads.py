"""`GET /v1/jobs/{id}`, for a finished job that is at hand, and for one that is to be waited for."""

import time
from typing import Final

from aiohttp import EMPTY_PAYLOAD
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from services.gateway.express.admission import Admission
from services.gateway.express.connection import Connection
from services.gateway.express.holding import Holding, Waiter
from services.gateway.express.wire import complete, head, render
from services.gateway.http.answers import job_reply
from services.gateway.http.edge import Edge
from services.gateway.http.headers import known_order, wait_seconds
from services.gateway.http.problems import Problem
from services.gateway.http.replies import Reply
from services.gateway.http.shedding import Worth
from services.gateway.jobs.finished import Kept
from services.gateway.jobs.status import Statuses
from services.gateway.statistics.run_times import RunTimes
from shared.ids import IssuedId
from shared.models.key import ApiKey
from shared.models.public import Snapshot

PREFIX: Final = "/v1/jobs/"
ROUTE: Final = "/v1/jobs/{id}"


class Reads:
    def __init__(
        self, *, admission: Admission, statuses: Statuses, holding: Holding, edge: Edge, run_times: RunTimes
    ) -> None:
        self._admission = admission
        self._statuses = statuses
        self._holding = holding
        self._edge = edge
        self._run_times = run_times

    def take(self, message: RawRequestMessage, payload: StreamReader, connection: Connection) -> bool:
        started = time.perf_counter()
        if payload is not EMPTY_PAYLOAD:
            return False
        waits = "Prefer" in message.headers
        key = self._admission.key(message, "jobs:read", Worth.WAITING if waits else Worth.READING)
        if key is None:
            return False
        id = message.path[len(PREFIX) :]
        kept = self._statuses.kept(id, key.tenant)
        if kept is not None:
            return self._at_hand(kept, message, key, connection, started)
        return waits and self._wait(id, message, key, connection, started)

    def _at_hand(
        self, kept: Kept, message: RawRequestMessage, key: ApiKey, connection: Connection, started: float
    ) -> bool:
        if not self._admission.admit(key):
            return False
        request_id, headers, status = self._edge.next_id(), message.headers, 200
        if "Prefer" in headers or "If-None-Match" in headers:
            wait = wait_seconds(headers.getall("Prefer", ()))
            reply = _reply(kept.snapshot, wait, headers.get("If-None-Match"), self._run_times)
            status, answer = reply.status, render(reply, request_id)
        else:
            kept.head = kept.head or head(job_reply(kept.snapshot))
            answer = complete(kept.head, request_id, kept.snapshot.body)
        connection.reply(answer)
        self._edge.over("GET", ROUTE, status, request_id, time.perf_counter() - started)
        return True

    def _wait(self, id: str, message: RawRequestMessage, key: ApiKey, connection: Connection, started: float) -> bool:
        headers = message.headers
        wait, issued = wait_seconds(headers.getall("Prefer")), self._statuses.issued(id, key.tenant)
        if wait is None or issued is None or not self._holding.room:
            return False
        waiter = _Reader(
            connection, issued, self._edge.next_id(), started, wait, headers.get("If-None-Match"), self._run_times
        )
        if self._admission.admit(key):
            self._holding.begin(waiter, wait)
        else:
            self._holding.begin_once(self._admission.admitted(key), waiter, wait)
        return True


class _Reader(Waiter):
    """Someone who waits for a job that was posted before."""

    __slots__ = ("_if_none_match", "_run_times", "_wait")
    method, route = "GET", ROUTE

    def __init__(
        self,
        connection: Connection,
        issued: IssuedId,
        request_id: str,
        started: float,
        wait: int,
        if_none_match: str | None,
        run_times: RunTimes,
    ) -> None:
        super().__init__(connection, issued, request_id, started, known_order(if_none_match))
        self._wait = wait
        self._if_none_match = if_none_match
        self._run_times = run_times

    def answer(self, state: Snapshot) -> Reply:
        return _reply(state, self._wait, self._if_none_match, self._run_times)

    def refusal(self, problem: Problem) -> Reply:
        return problem.reply(self.request_id)


def _reply(state: Snapshot, wait: int | None, if_none_match: str | None, run_times: RunTimes) -> Reply:
    headers = {} if wait is None else {"Preference-Applied": f"wait={wait}"}
    retry_after = run_times.retry_after(state)
    return job_reply(state, if_none_match=if_none_match, headers=headers, retry_after=retry_after)
