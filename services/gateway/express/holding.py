"""Holding requests of the express lane: a `Waiter` each, and no task until one must ask somebody for its answer."""

import asyncio
import time
from abc import abstractmethod
from collections.abc import Coroutine
from typing import Any, ClassVar

from services.gateway.express.connection import Connection
from services.gateway.express.wire import render
from services.gateway.http.edge import Edge
from services.gateway.http.problems import Problem
from services.gateway.http.replies import Reply
from services.gateway.jobs.progress import Progress
from services.gateway.jobs.waiting import Waiting
from services.gateway.jobs.watches import Hold, Outcome
from shared.ids import IssuedId
from shared.models.public import Snapshot


class Waiter(Hold):
    """One request that is held. started: on `time.perf_counter`."""

    __slots__ = ("_holding", "connection", "issued", "request_id", "started")
    method: ClassVar[str]
    route: ClassVar[str]

    def __init__(
        self, connection: Connection, issued: IssuedId, request_id: str, started: float, known: int | None
    ) -> None:
        super().__init__(known)
        self.connection = connection
        self.issued = issued
        self.request_id = request_id
        self.started = started
        self._holding: Holding | None = None

    @abstractmethod
    def answer(self, state: Snapshot) -> Reply:
        """What to say when the wait is over."""

    @abstractmethod
    def refusal(self, problem: Problem) -> Reply:
        """What to say when nobody can tell the state."""

    def settle(self, outcome: Outcome) -> None:
        if self._holding is not None:
            self._holding.settled(self, outcome)

    @property
    def gone(self) -> bool:
        return self._holding is None

    def join(self, holding: "Holding") -> None:
        self._holding = holding

    def leave(self) -> None:
        """The client has left."""
        holding, self._holding = self._holding, None
        if holding is not None:
            holding.left(self)


class Holding:
    def __init__(self, *, waiting: Waiting, progress: Progress, edge: Edge) -> None:
        self._waiting = waiting
        self._progress = progress
        self._edge = edge
        self._answering: set[asyncio.Task[None]] = set()

    @property
    def room(self) -> bool:
        """Whether one more can be held."""
        return not (self._waiting.full or self._waiting.draining)

    def begin(self, waiter: Waiter, seconds: int, fresh: Snapshot | None = None) -> None:
        """Hold it until it is answered, now or later. There must be room."""
        self._edge.began()
        waiter.join(self)
        waiter.connection.hold(waiter.leave)
        self._waiting.hold(waiter, waiter.issued, seconds=seconds, fresh=fresh)

    def begin_once(self, admitted: Coroutine[Any, Any, None], waiter: Waiter, seconds: int) -> None:
        """As `begin`, once `admitted` has returned; if it raises, that is the answer."""
        self._edge.began()
        task = self._own(self._begin_once(admitted, waiter, seconds))
        waiter.connection.hold(task.cancel)

    def settled(self, waiter: Waiter, outcome: Outcome) -> None:
        self._waiting.leave(waiter)
        if isinstance(outcome, Snapshot) and outcome.terminal and not self._waiting.is_deleted(outcome):
            self._answer(waiter, waiter.answer(outcome))
            return
        self._own(self._find_out(waiter, outcome))

    def left(self, waiter: Waiter) -> None:
        self._waiting.leave(waiter)
        self._edge.ended()

    async def aclose(self) -> None:
        """Return when everyone is answered; what they ask has deadlines."""
        await asyncio.gather(*self._answering, return_exceptions=True)

    def _own(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work, name="answer a waiter")
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)
        return task

    async def _begin_once(self, admitted: Coroutine[Any, Any, None], waiter: Waiter, seconds: int) -> None:
        try:
            await admitted
        except Exception as fault:  # noqa: BLE001 - `_refusal` logs what is no refusal
            self._send(waiter, self._refusal(waiter, fault))
        else:
            self.begin(waiter, seconds)
        finally:
            self._edge.ended()

    async def _find_out(self, waiter: Waiter, outcome: Outcome) -> None:
        try:
            state = await self._progress.shown(await self._waiting.conclude(outcome, waiter.issued))
            reply = waiter.answer(state)
        except Exception as fault:  # noqa: BLE001 - `_refusal` logs what is no refusal
            reply = self._refusal(waiter, fault)
        self._answer(waiter, reply)

    def _refusal(self, waiter: Waiter, fault: Exception) -> Reply:
        return waiter.refusal(self._edge.refusal(fault, waiter.request_id, waiter.route))

    def _answer(self, waiter: Waiter, reply: Reply) -> None:
        if not waiter.gone:
            self._edge.ended()
            self._send(waiter, reply)

    def _send(self, waiter: Waiter, reply: Reply) -> None:
        waiter.connection.reply(render(reply, waiter.request_id))
        seconds = time.perf_counter() - waiter.started
        self._edge.over(waiter.method, waiter.route, reply.status, waiter.request_id, seconds)
