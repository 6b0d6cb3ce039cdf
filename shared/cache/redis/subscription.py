"""One channel, or a few, listened to on a wire of its own. Called by whatever of ours wakes others through Redis.

A reader that is slow stops the reading, and then Redis, by its own limits, closes the connection: nothing is dropped
unseen, and nothing grows without bound. A peer that is silently gone is found by PING.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final, Generic, Self, TypeVar

from shared.cache.redis.address import Address
from shared.cache.redis.wire import Reply, Wire, ask, dial, pack
from shared.errors import CacheUnavailable

T = TypeVar("T")

MAX_HELD_BYTES: Final = 2 << 20
"""Of messages not yet taken: a few thousand, so that a reader who catches up holds the loop for some 20 ms at most."""
PING_SECONDS: Final = 2.5
SILENCE_SECONDS: Final = 7.0
"""Longer than two PINGs and their answers; with the interval, a lost peer is noticed within 10 s."""

_MESSAGE_OVERHEAD: Final = 200
"""Roughly what the objects around a message's bytes take."""
_PING: Final = pack(("PING",))


@asynccontextmanager
async def subscribe(
    address: Address, channel: str, decode: Callable[[bytes], T | None], *others: str
) -> AsyncIterator[AsyncIterator[T]]:
    """The messages of the channel, and of `others`, in the order published, from the moment this is entered.

    decode: makes the value of a message, or None of what is to be passed over.
    Entering, and iterating once the connection is lost, raise CacheUnavailable.
    """
    wire = await dial(address)
    try:
        arrived = await ask(wire, [("SUBSCRIBE", channel, *others)])
        subscription = Subscription(wire, decode, arrived)
        with subscription:
            yield subscription
    finally:
        await wire.aclose()


def text(message: bytes) -> str:
    """Decodes messages that are ids."""
    return message.decode("ascii", "replace")


class Subscription(Generic[T]):
    """For one reader at a time. arrived: what has come already."""

    def __init__(self, wire: Wire, decode: Callable[[bytes], T | None], arrived: list[Reply]) -> None:
        self._loop = asyncio.get_running_loop()
        self._wire = wire
        self._decode = decode
        self._messages: deque[bytes] = deque()
        self._held = 0
        self._paused = False
        self._changed: asyncio.Future[None] = self._loop.create_future()
        wire.receive = self._receive
        wire.lost.add_done_callback(self._wake)
        self._receive(arrived)

    def __enter__(self) -> Self:
        self._heartbeat = self._loop.call_later(PING_SECONDS, self._beat)
        return self

    def __exit__(self, *_: object) -> None:
        self._heartbeat.cancel()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while True:
            value = self._decode(await self._next())
            if value is not None:
                return value

    async def _next(self) -> bytes:
        while not self._messages:
            if self._wire.lost.done():
                raise CacheUnavailable(self._wire.lost.result())
            await self._change()
        message = self._messages.popleft()
        self._held -= len(message) + _MESSAGE_OVERHEAD
        if self._paused and self._held <= MAX_HELD_BYTES // 2:
            self._paused = False
            self._wire.resume()
        return message

    async def _change(self) -> None:
        if self._changed.done():
            self._changed = self._loop.create_future()
        await self._changed

    def _wake(self, _: object = None) -> None:
        if not self._changed.done():
            self._changed.set_result(None)

    def _receive(self, replies: list[Reply]) -> None:
        for reply in replies:
            if isinstance(reply, list) and reply[0] == b"message":  # others: the answers to SUBSCRIBE and PING
                self._messages.append(reply[2])
                self._held += len(reply[2]) + _MESSAGE_OVERHEAD
        if self._held > MAX_HELD_BYTES and not self._paused:
            self._paused = True
            self._wire.pause()
        if self._messages:
            self._wake()

    def _beat(self) -> None:
        if not self._paused:  # else the silence is ours
            if monotonic() - self._wire.heard_at > SILENCE_SECONDS:
                self._wire.drop(f"Redis was silent for {SILENCE_SECONDS:g} s")
                return
            self._wire.send(_PING)
        self._heartbeat = self._loop.call_later(PING_SECONDS, self._beat)
