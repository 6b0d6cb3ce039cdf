"""`POST /v1/jobs`, for a body that came with its head."""

import asyncio
import time
from typing import Final

from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from services.gateway.express.admission import Admission
from services.gateway.express.connection import Connection
from services.gateway.express.holding import Holding, Waiter
from services.gateway.express.wire import render
from services.gateway.http.answers import Accepted
from services.gateway.http.edge import Edge
from services.gateway.http.limits import parse_json
from services.gateway.http.problems import Problem
from services.gateway.http.replies import Reply
from services.gateway.http.shedding import Worth
from services.gateway.jobs.posting import Asked, Posting
from services.gateway.jobs.status import Statuses
from shared.ids import IssuedId
from shared.models.key import ApiKey
from shared.models.public import Snapshot
from shared.telemetry.traces import carried

PATH: Final = "/v1/jobs"
_JSON: Final = frozenset({"application/json", "application/json; charset=utf-8"})


class Posts:
    def __init__(
        self,
        *,
        admission: Admission,
        posting: Posting,
        statuses: Statuses,
        holding: Holding,
        edge: Edge,
        max_body_bytes: int,
    ) -> None:
        self._admission = admission
        self._posting = posting
        self._statuses = statuses
        self._holding = holding
        self._edge = edge
        self._max_body_bytes = max_body_bytes
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, message: RawRequestMessage, payload: StreamReader, connection: Connection) -> bool:
        started = time.perf_counter()
        headers = message.headers
        if not payload.is_eof() or headers.get("Content-Type") not in _JSON:
            return False
        if payload.total_bytes > self._max_body_bytes:
            return False
        key = self._admission.key(message, "jobs:write", Worth.ACCEPTING)
        if key is None:
            return False
        self._edge.began()
        post = self._post(message, payload.read_nowait(), key, connection, started)
        task = self._loop.create_task(post)
        self._tasks.add(task)
        task.add_done_callback(self._over)  # in the task itself, it would not happen to one that is never begun
        connection.hold(task.cancel)
        return True

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._edge.ended()

    async def aclose(self) -> None:
        """Return when everyone is answered; accepting has its deadlines."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _post(
        self, message: RawRequestMessage, body: bytes, key: ApiKey, connection: Connection, started: float
    ) -> None:
        request_id = self._edge.next_id()
        try:
            reply = await self._reply(message, body, key, connection, request_id, started)
        except Exception as fault:  # noqa: BLE001 - `refusal` logs what is no refusal
            reply = self._edge.refusal(fault, request_id, PATH).reply(request_id)
        if reply is not None:
            connection.reply(render(reply, request_id))
            self._edge.over("POST", PATH, reply.status, request_id, time.perf_counter() - started)

    async def _reply(
        self,
        message: RawRequestMessage,
        body: bytes,
        key: ApiKey,
        connection: Connection,
        request_id: str,
        started: float,
    ) -> Reply | None:
        """The answer; or None, when the request is held for it."""
        await self._admission.admitted(key)
        asked = Asked(message.headers, parse_json(body), key.tenant, carried(message.headers.get("traceparent")))
        accepted = await self._posting.accept(asked)
        wait = asked.wait
        if wait is None or accepted.state.terminal or not self._holding.room:
            return self._posting.reply(accepted, wait if accepted.state.terminal else None)
        issued = self._statuses.verify(accepted.state.id, key.tenant)
        waiter = _Poster(connection, issued, request_id, started, self._posting, accepted, wait)
        self._holding.begin(waiter, wait, fresh=accepted.state)
        return None


class _Poster(Waiter):
    """Someone who waits for the job that was posted in the same request."""

    __slots__ = ("_accepted", "_posting", "_wait")
    method, route = "POST", PATH

    def __init__(
        self,
        connection: Connection,
        issued: IssuedId,
        request_id: str,
        started: float,
        posting: Posting,
        accepted: Accepted,
        wait: int,
    ) -> None:
        super().__init__(connection, issued, request_id, started, None)
        self._posting = posting
        self._accepted = accepted
        self._wait = wait

    def answer(self, state: Snapshot) -> Reply:
        return self._posting.reply(Accepted(state, self._accepted.headers), self._wait)

    def refusal(self, problem: Problem) -> Reply:
        """No error: the job was accepted."""
        return self._posting.reply(self._accepted, None)
