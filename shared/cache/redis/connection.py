"""The connection that a process's cache calls share: when batches travel, deadlines, reconnecting.

One batch is under way at a time. What is asked meanwhile, or in the same turn of the loop, travels in the next one,
which leaves when the last reply is in: batches grow with the load, and a lone call waits for nothing.

Redis lost: calls fail at their deadline until one attempt to reconnect has failed, from then on at once, until an
attempt succeeds. Deadlines are for Redis: a loop that was held up sends what waits, and reads what has come, before it
refuses anybody.
"""

import asyncio
import logging
import math
import random
from collections.abc import Sequence
from time import monotonic
from types import TracebackType
from typing import Final, Self

from shared.cache.redis.address import Address
from shared.cache.redis.batch import Answer, Backlog, Batch, Call, Command, Get, refuse
from shared.cache.redis.script import Script
from shared.cache.redis.wire import Part, Reply, Wire, dial, pack
from shared.errors import CacheUnavailable

RETRY_SECONDS: Final = (0.05, 0.5)
"""Between attempts to connect, drawn evenly: a thousand clients of a restarted server spread over half a second."""
SILENCE_SECONDS: Final = 0.5
"""A wire that owes replies and brings no byte for so long is given up, unless callers have more patience."""
SENT_SHARE: Final = 0.25
"""Of the timeout: what a call has left, at the least, once it is sent."""
_SETTLED_SECONDS: Final = 1.0
"""A connection that lasted less counts as a failed attempt, so that losing them in a row is not a busy loop."""
_TIMER_GRAIN_SECONDS: Final = 0.001
"""uvloop rounds timers to milliseconds, and so may be early."""

_log = logging.getLogger(__name__)


class Connection:
    """An async context manager, made in the running loop. Entering does not wait for Redis.

    Calls return futures: await each at once or gather them. All raise CacheUnavailable, for whatever reason.
    A call that was sent and then cancelled or timed out may have been carried out. Commands that block on the server
    have no place here: everybody would wait behind them.

    timeout_seconds: the most that a call takes, or SENT_SHARE more where it had waited long for its turn.
    """

    def __init__(self, address: Address, *, timeout_seconds: float, rng: random.Random) -> None:
        self.address = address
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout_seconds
        self._patience = max(timeout_seconds, SILENCE_SECONDS)
        self._rng = rng
        self._backlog = Backlog()
        self._batch: Batch | None = None
        self._wire: Wire | None = None
        self._timer: asyncio.Handle | None = None  # uvloop gives no TimerHandle for what is due already
        self._timer_at = 0.0
        self._flushing = False
        self._refusal = "the connection to Redis has not been opened"

    async def __aenter__(self) -> Self:
        self._refusal = ""
        self._keeper = self._loop.create_task(self._keep_connected(), name="redis connection")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._refusal = "the connection to Redis has been closed"
        self._backlog.refuse_all(self._refusal)
        self._keeper.cancel()
        await asyncio.wait({self._keeper})
        if self._timer is not None:
            self._timer.cancel()
        if not self._keeper.cancelled():
            self._keeper.result()

    def get(self, key: str) -> Answer:
        """The value of a key, or None."""
        return self._issue(Get(self._loop.create_future(), self._deadline(), key))

    def execute(self, *parts: Part) -> Answer:
        """One command."""
        return self._issue(Command(self._loop.create_future(), self._deadline(), parts, pack(parts)))

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Part]) -> Answer:
        """One run of a script. `keys` share a hash tag."""
        parts = ("EVALSHA", script.sha, len(keys), *keys, *arguments)
        packed = pack(parts)
        return self._issue(Command(self._loop.create_future(), self._deadline(), parts, packed, script))

    async def ping(self) -> None:
        """Return if Redis answers. Raises CacheUnavailable."""
        await self.execute("PING")

    def _deadline(self) -> float:
        return monotonic() + self._timeout

    def _issue(self, call: Call) -> Answer:
        if self._refusal:
            refuse(call, self._refusal)
        elif not self._backlog.add(call):
            refuse(call, "too many calls wait for Redis")
        else:
            self._arm(call.deadline)
            self._flush_soon()
        return call.answer

    # Batches

    def _flush_soon(self) -> None:
        """At the end of this turn of the loop, so that what is asked in it travels together."""
        if not self._flushing and self._batch is None and self._wire is not None:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._wire is None or self._batch is not None:
            return
        now = monotonic()
        batch = Batch(self._backlog, now, now + self._timeout * SENT_SHARE)
        if batch:
            self._batch = batch
            self._wire.send(batch.pack())

    def _receive(self, replies: list[Reply]) -> None:
        assert self._wire is not None
        if self._batch is None or len(replies) > self._batch.owed:
            self._wire.drop("Redis answered what nobody asked")
        elif self._batch.receive(replies):
            batch, self._batch = self._batch, None
            self._backlog.put_back(batch.settle())
            if self._backlog:
                self._flush_soon()

    # Deadlines

    def _arm(self, when: float) -> None:
        """Look at the deadlines then, or earlier."""
        if self._timer is not None:
            if self._timer_at <= when:
                return
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_later(max(0, when - monotonic()), self._expire), when

    def _expire(self) -> None:
        """Loops read their sockets before they run timers, so after a hold-up a reply that is in still counts."""
        self._timer = None
        now = monotonic() + _TIMER_GRAIN_SECONDS
        why = f"Redis gave no answer within {self._timeout:g} s"
        if not self._flushing:
            self._backlog.expire(now, why)
        if self._batch is not None:
            self._batch.expire(now, why)
        if self._wire is not None and self._silent_at() <= now:
            self._wire.drop(f"Redis was silent for {self._patience:g} s")
        due = self._next_due()
        if due is not None:
            self._arm(due)

    def _silent_at(self) -> float:
        """When the wire has owed its replies in silence for too long."""
        if self._wire is None or self._batch is None:
            return math.inf
        return max(self._batch.sent_at, self._wire.heard_at) + self._patience

    def _next_due(self) -> float | None:
        times = [self._backlog.deadline]
        if self._batch is not None:
            times += [self._batch.deadline, self._silent_at()]
        return min((when for when in times if when is not None), default=None)

    # Connecting

    async def _keep_connected(self) -> None:
        while True:
            began = monotonic()
            try:
                wire = await dial(self.address)
            except CacheUnavailable as error:
                self._refuse(str(error))
                began = monotonic()
            else:
                await self._serve(wire)
            if monotonic() - began < _SETTLED_SECONDS:
                await asyncio.sleep(self._rng.uniform(*RETRY_SECONDS))

    async def _serve(self, wire: Wire) -> None:
        """Send and receive on the wire until it is lost."""
        self._wire, self._refusal, wire.receive = wire, "", self._receive
        _log.info("connected to Redis")
        self._flush_soon()
        try:
            await asyncio.wait({wire.lost})
            _log.warning("lost Redis: %s", wire.lost.result())
        finally:
            self._wire = None
            wire.drop("the connection to Redis has been closed")
            self._give_up_batch(wire.lost.result())
            await wire.aclose()

    def _give_up_batch(self, why: str) -> None:
        """What was sent may have been carried out; nobody will know."""
        if self._batch is not None:
            batch, self._batch = self._batch, None
            batch.refuse_all(why)

    def _refuse(self, why: str) -> None:
        """From now on, and all who wait."""
        if not self._refusal:
            _log.warning("without Redis: %s", why)
        self._refusal = why
        self._backlog.refuse_all(why)
