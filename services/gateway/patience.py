"""Closing connections that take too long to send a request's head.

aiohttp waits for ever for the rest of a request line or of headers. Here every connection that has begun to send, and
whose request has not reached a handler in time, is answered 408 and closed. One sweep looks after all of them.

Called by `server`: `guarding` wraps the protocols that it accepts connections with, `around` the handler of requests.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import web

from shared.clock import Clock

SWEEP_SECONDS = 0.5
_TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\nServer: sluice\r\n\r\n"

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Patience:
    """seconds: from the first byte of a request, or from the connection's start, until its head must be there."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._pending: dict[asyncio.BaseTransport, float] = {}
        self._busy: set[asyncio.BaseTransport] = set()

    def guarding(self, make: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """`make`, with an eye on what its protocols receive."""
        return lambda: _Guarded(make(), self)

    def around(self, handler: Handler) -> Handler:
        """`handler`, telling us that a request's head is complete, and when whatever comes next is a new request."""

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            transport = request.transport
            if transport is None:
                return await handler(request)
            self._pending.pop(transport, None)
            self._busy.add(transport)
            try:
                return await handler(request)
            finally:
                self._busy.discard(transport)

        return handle

    async def sweep(self) -> None:
        """Close what is overdue, until cancelled."""
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            now = self._clock.monotonic()
            for transport in [each for each, due in self._pending.items() if due <= now]:
                self._pending.pop(transport, None)
                if not transport.is_closing():
                    cast(asyncio.Transport, transport).write(_TIMED_OUT)
                    transport.close()

    def began(self, transport: asyncio.BaseTransport) -> None:
        """Bytes came, or the connection did."""
        if transport not in self._busy and transport not in self._pending:
            self._pending[transport] = self._clock.monotonic() + self._seconds

    def gone(self, transport: asyncio.BaseTransport) -> None:
        self._pending.pop(transport, None)
        self._busy.discard(transport)


class _Guarded(asyncio.Protocol):
    """Passes everything on to aiohttp's protocol."""

    __slots__ = ("_inner", "_patience", "_transport")

    def __init__(self, inner: asyncio.Protocol, patience: Patience) -> None:
        self._inner = inner
        self._patience = patience
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._patience.began(transport)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._patience.began(self._transport)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        assert self._transport is not None
        self._patience.gone(self._transport)
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
