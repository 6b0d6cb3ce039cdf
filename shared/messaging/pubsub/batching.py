"""Group commit: whatever is added while a request is in flight goes out in the next one; when idle, at once.

Nothing here waits on a timer, so a single operation pays no delay for the sake of batches. Used by the publisher (a
queue a topic) and the source (one a subscription for acknowledgements and one for leases).
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Generic, Protocol, TypeVar

_log = logging.getLogger(__name__)

SLOW_SECONDS: Final = 0.1
"""Longer than a request takes at a broker in good health."""


class Batchable(Protocol):
    """One operation of one caller. Compared by identity."""

    @property
    def size(self) -> int:
        """Bytes that it takes in a request."""
        ...

    @property
    def settled(self) -> bool:
        """Whether its caller has an answer, or has left."""
        ...

    def abandon(self) -> None:
        """Tell its caller that nothing more will be done for it, unless it is settled."""
        ...


T = TypeVar("T", bound=Batchable)


class BatchQueue(Generic[T]):
    """Takes operations and sends them in batches, in order. Whoever adds bounds how many wait.

    send: does one batch and settles each operation in it; what it leaves unsettled is abandoned.
    gate: awaited before a batch is taken, so that operations wait here, where they can still be withdrawn.
    max_in_flight: batches at a time. All but the first start only when a whole batch waits, or when the one before has
        been out for `SLOW_SECONDS`, so that one slow request does not hold up everything behind it.
    """

    def __init__(
        self,
        send: Callable[[list[T]], Awaitable[None]],
        *,
        gate: Callable[[], Awaitable[None]],
        max_items: int,
        max_bytes: int,
        max_in_flight: int = 1,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._send = send
        self._gate = gate
        self._max_items, self._max_bytes, self._max_in_flight = max_items, max_bytes, max_in_flight
        self._waiting: OrderedDict[T, None] = OrderedDict()
        self._waiting_bytes = 0
        self._senders: set[asyncio.Task[None]] = set()
        self._last_take = 0.0

    def add(self, item: T) -> None:
        self._waiting[item] = None
        self._waiting_bytes += item.size
        if not self._senders or (len(self._senders) < self._max_in_flight and (self._full or self._slow)):
            self._start_sender()

    def withdraw(self, item: T) -> None:
        """Forget `item` if it is still waiting."""
        if item in self._waiting:
            del self._waiting[item]
            self._waiting_bytes -= item.size

    async def drained(self) -> None:
        """Return once nothing waits and nothing is in flight; the caller owns the deadline."""
        while self._senders:
            await asyncio.wait(self._senders)

    async def aclose(self) -> None:
        """Stop sending; abandon what is in flight and what waits."""
        senders = tuple(self._senders)
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        for item in self._take_all():
            item.abandon()

    @property
    def _full(self) -> bool:
        return len(self._waiting) >= self._max_items or self._waiting_bytes >= self._max_bytes

    @property
    def _slow(self) -> bool:
        return self._loop.time() - self._last_take > SLOW_SECONDS

    def _start_sender(self) -> None:
        self._last_take = self._loop.time()
        sender = asyncio.create_task(self._send_all(), name="batch sender")
        self._senders.add(sender)
        sender.add_done_callback(self._ended)

    def _ended(self, sender: asyncio.Task[None]) -> None:
        self._senders.discard(sender)
        if sender.cancelled():
            return
        if fault := sender.exception():
            _log.error("A batch failed by a fault of ours", exc_info=fault)
        if self._waiting and not self._senders:
            self._start_sender()

    async def _send_all(self) -> None:
        while self._waiting:
            await self._gate()
            self._last_take = self._loop.time()
            if batch := self._take():
                await self._send_one(batch)

    async def _send_one(self, batch: list[T]) -> None:
        try:
            await self._send(batch)
        finally:
            for item in batch:
                if not item.settled:
                    item.abandon()

    def _take(self) -> list[T]:
        if len(self._waiting) <= self._max_items and self._waiting_bytes <= self._max_bytes:
            return self._take_all()
        batch: list[T] = []
        room = self._max_bytes
        while self._waiting and len(batch) < self._max_items:
            item = next(iter(self._waiting))
            if batch and item.size > room:
                break
            self.withdraw(item)
            batch.append(item)
            room -= item.size
        return batch

    def _take_all(self) -> list[T]:
        batch = list(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        return batch
