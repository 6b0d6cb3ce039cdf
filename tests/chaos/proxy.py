"""A TCP proxy that stands in front of one backend and makes the network to it as bad as a test asks.

    async with FaultProxy("127.0.0.1:6379") as proxy:
        system is given proxy.address
        async with proxy.under(Refusing()): …        from then on it is as before
        proxy.reset()

Conditions last until the next one; `reset` and `half_close` happen once, to the connections of that moment. Bytes keep
their order. What is merely held up arrives in the end; a connection that lost bytes is reset when that is over, for
what came after them would make no sense.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, cast

LOOPBACK: Final = "127.0.0.1"
_RST_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER with no time to linger


@dataclass(frozen=True, slots=True)
class Passing:
    """Everything arrives, `latency_seconds` later in either direction."""

    latency_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Refusing:
    """The backend is down: connections are reset, new ones refused."""


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing arrives in either direction, and nobody is told. It all arrives once this is over."""


@dataclass(frozen=True, slots=True)
class RepliesLost:
    """Requests arrive and are carried out; what the backend answers is lost."""


Condition = Passing | Refusing | Silent | RepliesLost

_TIMER_GRAIN_SECONDS: Final = 0.001  # uvloop's timers count milliseconds
_GOOD: Final = Passing()


class FaultProxy:
    """An async context manager.

    target: `host:port` of the backend.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._port = 0
        self._condition: Condition = _GOOD
        self._listener: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._swallowed = asyncio.Event()

    @property
    def address(self) -> str:
        """Where it listens, as `host:port`."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def condition(self) -> Condition:
        return self._condition

    @property
    def connections(self) -> int:
        """Open at this moment."""
        return len(self._pairs)

    @property
    def holding(self) -> bool:
        """Whether anything is held up in it at this moment."""
        return any(pair.holding for pair in self._pairs)

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._refuse()

    async def become(self, condition: Condition) -> None:
        """Make the network so, from now on."""
        before, self._condition = self._condition, condition
        if isinstance(before, RepliesLost):
            for pair in [pair for pair in self._pairs if pair.lost_bytes]:
                pair.abort()
        self._swallowed.clear()
        if isinstance(condition, Refusing):
            await self._refuse()
        elif self._listener is None:
            await self._listen()
        for pair in self._pairs:
            pair.hold(still=isinstance(condition, Silent))

    @asynccontextmanager
    async def under(self, condition: Condition) -> AsyncIterator[Self]:
        """The network is so while the block lasts, and good after it."""
        await self.become(condition)
        try:
            yield self
        finally:
            await self.become(_GOOD)

    def reset(self) -> None:
        """Cut every connection, as a router that restarts does. New ones pass."""
        for pair in list(self._pairs):
            pair.abort()

    def half_close(self) -> None:
        """Tell the clients that the backend will say no more, while it still listens."""
        for pair in list(self._pairs):
            pair.half_close()

    async def swallowed(self, within: float = 20.0) -> None:
        """Return once a reply was lost under the present condition. Raises TimeoutError."""
        async with asyncio.timeout(within):
            await self._swallowed.wait()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._accept, LOOPBACK, self._port, reuse_address=True)
        self._port = self._listener.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        pairs = list(self._pairs)
        for pair in pairs:
            pair.abort()
        await asyncio.gather(*(pair.over.wait() for pair in pairs))

    def _accept(self) -> "_End":
        pair = _Pair(self)
        self._pairs.add(pair)
        return pair.client

    # What pairs ask of their proxy

    @property
    def target(self) -> tuple[str, int]:
        return self._target

    def loses(self, *, reply: bool) -> bool:
        """Whether bytes of that direction are lost now."""
        if reply and isinstance(self._condition, RepliesLost):
            self._swallowed.set()
            return True
        return False

    @property
    def latency_seconds(self) -> float:
        return self._condition.latency_seconds if isinstance(self._condition, Passing) else 0.0

    @property
    def silent(self) -> bool:
        return isinstance(self._condition, Silent)

    def forget(self, pair: "_Pair") -> None:
        self._pairs.discard(pair)


class _Pair:
    """A client's connection and the one to the backend that stands for it."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.client, self.server = _End(self, reply=False), _End(self, reply=True)
        self.client.peer, self.server.peer = self.server, self.client
        self.over = asyncio.Event()
        self.lost_bytes = False
        self._dialling: asyncio.Task[None] | None = None

    def dial(self) -> None:
        """The client is there: connect to the backend for it."""
        self._dialling = asyncio.create_task(self._dial(), name="fault proxy dials")

    async def _dial(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.server, *self.proxy.target)
        except OSError:
            self.abort()

    def hold(self, *, still: bool) -> None:
        for end in (self.client, self.server):
            end.hold("silence", still=still)
            end.flush()

    @property
    def holding(self) -> bool:
        return self.client.holding or self.server.holding

    def half_close(self) -> None:
        self.client.finish()

    def abort(self) -> None:
        """Reset both connections."""
        for end in (self.client, self.server):
            end.abort()
        self.settle()

    def settle(self) -> None:
        """One end is gone: the pair is over once both are."""
        if self.client.gone and (self.server.gone or self.server.transport is None):
            if self._dialling is not None and not self._dialling.done():
                self._dialling.cancel()
            self.proxy.forget(self)
            self.over.set()


class _End(asyncio.Protocol):
    """One end of a pair. What it receives is sent by its peer.

    reply: whether it is the backend's end.
    """

    peer: "_End"

    def __init__(self, pair: _Pair, *, reply: bool) -> None:
        self.transport: asyncio.Transport | None = None
        self.gone = False
        self._pair = pair
        self._reply = reply
        self._finished = False
        self._holds: set[str] = set()
        self._waiting: deque[tuple[float, bytes]] = deque()
        """What is to be sent, from when on. No bytes: the end."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def holding(self) -> bool:
        return bool(self._waiting)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if not self._reply:
            self._pair.dial()
        self.flush()

    def data_received(self, data: bytes) -> None:
        proxy = self._pair.proxy
        if proxy.loses(reply=self._reply):
            self._pair.lost_bytes = True
        else:
            self.peer.send(data, proxy.latency_seconds)

    def eof_received(self) -> bool:
        self.peer.send(b"", 0.0)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        if self._timer is not None:
            self._timer.cancel()
        if not self.peer.gone and self.peer.transport is not None:
            self.peer.close()
        self._pair.settle()

    def pause_writing(self) -> None:
        self.peer.hold("full", still=True)

    def resume_writing(self) -> None:
        self.peer.hold("full", still=False)

    def hold(self, reason: str, *, still: bool) -> None:
        """Read nothing while there is a reason not to; the sender feels it."""
        (self._holds.add if still else self._holds.discard)(reason)
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading() if self._holds else self.transport.resume_reading()

    def send(self, data: bytes, delay: float) -> None:
        """Send after the delay, and after all that was to be sent before."""
        due = asyncio.get_running_loop().time() + delay
        self._waiting.append((max(due, self._waiting[-1][0]) if self._waiting else due, data))
        self.flush()

    def flush(self) -> None:
        """Send what is due, if there is a connection and it is not silent."""
        if self.transport is None or self._pair.proxy.silent:
            return
        loop = asyncio.get_running_loop()
        while self._waiting and self._waiting[0][0] <= loop.time():
            _, data = self._waiting.popleft()
            if not data:
                self.finish()
            elif not (self._finished or self.transport.is_closing()):
                self.transport.write(data)  # after a half-close nothing more is said
        if self._waiting and self._timer is None:
            self._timer = loop.call_at(self._waiting[0][0] + _TIMER_GRAIN_SECONDS, self._due)

    def _due(self) -> None:
        self._timer = None
        self.flush()

    def finish(self) -> None:
        """Say that no more comes. The connection is over once both directions are."""
        if self.transport is None or self.transport.is_closing():
            return
        self._finished = True
        self.transport.write_eof()
        if self.peer._finished:
            self.close()
            self.peer.close()

    def close(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()

    def abort(self) -> None:
        """Reset: whoever is at the other end gets an error, not an end."""
        if self.transport is None:
            self.gone = self.gone or not self._reply
            return
        connection = self.transport.get_extra_info("socket")
        if not self.transport.is_closing() and connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        self.transport.abort()
