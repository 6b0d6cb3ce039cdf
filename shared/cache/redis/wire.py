"""One TCP connection to Redis: bytes out, replies in, in order. No notion of who asked; that is its owner's.

A wire is used until it is lost and never again. Owned by `connection` (commands) and `subscription` (a channel).
"""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Final, TypeAlias, cast

import hiredis

from shared.cache.redis.address import Address
from shared.errors import CacheUnavailable

DIAL_SECONDS: Final = 1.0
"""For connecting, TLS and the greeting together. One lost packet's retransmission (1 s) costs a new attempt."""

Part: TypeAlias = str | bytes | int
Reply: TypeAlias = Any  # bytes, int, None, a list of these, or hiredis.ReplyError; who asked knows which
Receive: TypeAlias = Callable[[list[Reply]], None]

pack: Final = cast("Callable[[tuple[Part, ...]], bytes]", hiredis.pack_command)
"""One command as bytes. (hiredis's own stub declares tuples of one.)"""

_NOTHING: Final = object()


class Wire(asyncio.Protocol):
    """An open connection. `receive` is called with the replies of each chunk that arrives; whoever owns it sets it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._transport: asyncio.Transport | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self.receive: Receive = self._unasked
        self.lost: asyncio.Future[str] = self._loop.create_future()
        """Done, with the reason, as soon as the wire is of no further use."""
        self.heard_at = monotonic()
        """When the last bytes came, by `time.monotonic`."""

    def send(self, data: bytes) -> None:
        """Write without waiting. Nothing happens on a lost wire: `lost` has told."""
        if self._transport is not None and not self.lost.done():
            self._transport.write(data)

    def pause(self) -> None:
        """Take no more from the network until `resume`, so that the sender feels it."""
        if self._transport is not None and not self.lost.done():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Go on reading. The silence meanwhile was our own."""
        if self._transport is not None and not self.lost.done():
            self.heard_at = monotonic()
            self._transport.resume_reading()

    def drop(self, reason: str) -> None:
        """Give the connection up now; replies still under way are never seen."""
        if not self.lost.done():
            self.lost.set_result(reason)
        if self._transport is not None:
            self._transport.abort()

    async def aclose(self) -> None:
        """Give it up and return once the socket is closed."""
        self.drop("the connection to Redis was closed")
        if self._transport is not None:
            await self._closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # in all but inheritance, as uvloop's are

    def data_received(self, data: bytes) -> None:
        if self.lost.done():
            return
        self.heard_at = monotonic()
        try:
            replies = self._parse(data)
        except hiredis.ProtocolError:
            self.drop("what came from Redis is not its protocol")
        else:
            if replies:
                self.receive(replies)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(
                f"the connection to Redis was lost: {error}" if error else "Redis closed the connection"
            )
        if not self._closed.done():
            self._closed.set_result(None)

    def _parse(self, data: bytes) -> list[Reply]:
        self._reader.feed(data)
        gets, replies = self._reader.gets, []
        while (reply := gets()) is not _NOTHING:
            replies.append(reply)
        return replies

    def _unasked(self, _: list[Reply]) -> None:
        self.drop("Redis answered what nobody asked")


async def dial(address: Address) -> Wire:
    """A wire that is connected, let in, and known to be served. Raises CacheUnavailable."""
    wire = Wire()
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            await asyncio.get_running_loop().create_connection(
                lambda: wire, address.host, address.port, ssl=address.tls
            )
            await ask(wire, address.greeting())
    except TimeoutError:
        wire.drop("it did not open in time")
        raise CacheUnavailable(f"Redis did not answer a new connection within {DIAL_SECONDS:g} s") from None
    except OSError as error:
        wire.drop("it did not open")
        raise CacheUnavailable(f"Redis cannot be reached: {error}") from error
    except BaseException:
        wire.drop("it is not wanted")
        raise
    return wire


async def ask(wire: Wire, commands: Sequence[Sequence[Part]]) -> list[Reply]:
    """Send, and return the replies, with any that came after them; whoever takes the wire over loses none.

    For a wire that nobody else uses yet. Raises CacheUnavailable when the wire is lost or an answer is an error.
    """
    replies: list[Reply] = []
    answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def collect(arrived: list[Reply]) -> None:
        replies.extend(arrived)
        if len(replies) >= len(commands) and not answered.done():
            answered.set_result(None)

    wire.receive = collect
    wire.send(b"".join(pack(tuple(command)) for command in commands))
    either: set[asyncio.Future[Any]] = {answered, wire.lost}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not answered.done():
        raise CacheUnavailable(wire.lost.result())
    for reply in replies:
        if isinstance(reply, hiredis.ReplyError):
            raise CacheUnavailable(f"Redis refused the connection: {reply}")
    return replies
