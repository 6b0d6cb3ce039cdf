"""Acknowledgements and lease changes of one subscription, each group-committed. Used by `source`.

Lease changes go out one request after the other, so that a later one for the same message wins. Settling is best
effort: a passing failure is tried once more, and what fails then is the broker's to redeliver.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

import grpc

from shared.errors import BrokerUnavailable
from shared.messaging.backoff import Draw, full_jitter
from shared.messaging.pubsub.batching import BatchQueue
from shared.messaging.pubsub.status import Failure, explain, failure_of

_MAX_IDS: Final = 1_000
_MAX_BYTES: Final = 500_000  # Pub/Sub takes requests of 512 KiB
_FRAMING: Final = 4  # bytes around an id
_CALL_SECONDS: Final = 5.0
_TRIES: Final = 2
_PAUSE_SECONDS: Final = 0.2


class Settling:
    """One message to be settled, and the caller who waits for it."""

    __slots__ = ("ack_id", "done", "seconds")

    def __init__(self, ack_id: str, seconds: int | None) -> None:
        self.ack_id = ack_id
        self.seconds = seconds
        """The new lease; None: acknowledge."""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def size(self) -> int:
        return len(self.ack_id) + _FRAMING

    @property
    def settled(self) -> bool:
        return self.done.done()

    def succeed(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(BrokerUnavailable(reason))

    def abandon(self) -> None:
        self.fail("not settled: the source was closed")


Call = Callable[[Sequence[str], int | None, float], Awaitable[Any]]
"""Settles ack ids: acknowledges them (None) or moves their leases to so many seconds, within a timeout in seconds."""


class Settlement:
    """The settling of one subscription. What waits is bounded by what its callers hold.

    subject: its name, for messages.
    """

    def __init__(self, subject: str, call: Call, *, draw: Draw = random.random) -> None:
        self._subject = subject
        self._call = call
        self._draw = draw
        self._acks = self._queue(self._acknowledge, max_in_flight=2)
        self._leases = self._queue(self._extend, max_in_flight=1)

    async def acknowledge(self, ack_id: str) -> None:
        """Raises BrokerUnavailable."""
        settling = Settling(ack_id, None)
        self._acks.add(settling)
        await settling.done

    async def extend(self, ack_ids: Iterable[str], seconds: int) -> None:
        """Raises BrokerUnavailable when it failed for some; the others' leases are moved."""
        moving = [Settling(ack_id, seconds) for ack_id in ack_ids]
        for settling in moving:
            self._leases.add(settling)
        results = await asyncio.gather(*(settling.done for settling in moving), return_exceptions=True)
        for result in results:
            if result is not None:
                raise result

    async def aclose(self) -> None:
        """Fail what waits."""
        await asyncio.gather(self._acks.aclose(), self._leases.aclose())

    def _queue(self, send: Callable[[list[Settling]], Awaitable[None]], *, max_in_flight: int) -> BatchQueue[Settling]:
        return BatchQueue(send, gate=_at_once, max_items=_MAX_IDS, max_bytes=_MAX_BYTES, max_in_flight=max_in_flight)

    async def _acknowledge(self, batch: list[Settling]) -> None:
        await self._settle(batch, None)

    async def _extend(self, batch: list[Settling]) -> None:
        latest = {settling.ack_id: settling.seconds for settling in batch}
        groups: dict[int | None, list[Settling]] = defaultdict(list)
        for settling in batch:
            groups[latest[settling.ack_id]].append(settling)
        await asyncio.gather(*(self._settle(group, seconds) for seconds, group in groups.items()))

    async def _settle(self, batch: list[Settling], seconds: int | None) -> None:
        error = await self._call_patiently(batch, seconds)
        if error is None:
            for settling in batch:
                settling.succeed()
        elif failure_of(error) is Failure.INVALID and len(batch) > 1:
            middle = len(batch) // 2
            for half in (batch[:middle], batch[middle:]):
                await self._settle(half, seconds)
        else:
            for settling in batch:
                settling.fail(explain(error, self._subject))

    async def _call_patiently(self, batch: list[Settling], seconds: int | None) -> grpc.aio.AioRpcError | None:
        """The last error, or None. Settling twice is harmless, so what may have been done is done again."""
        ids = list(dict.fromkeys(settling.ack_id for settling in batch))
        last: grpc.aio.AioRpcError | None = None
        for attempt in range(_TRIES):
            try:
                await self._call(ids, seconds, _CALL_SECONDS)
            except grpc.aio.AioRpcError as error:
                last = error
                if failure_of(error) in {Failure.INVALID, Failure.DENIED}:
                    return error
                await asyncio.sleep(
                    full_jitter(attempt, base_seconds=_PAUSE_SECONDS, cap_seconds=_PAUSE_SECONDS, draw=self._draw)
                )
            else:
                return None
        return last


async def _at_once() -> None:
    """Settling is not held back while there is no connection: it would be stale afterwards."""
