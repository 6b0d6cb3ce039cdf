"""Closing connections that take too long to send a request's head.

aiohttp waits for ever for the rest of a request line or of headers. Here every connection that has begun to send, and
whose request is not whole in time, is answered 408 and closed. One sweep looks after all of them.

Told by `express.connection` when a head begins and when it is there.
"""

import asyncio
from typing import Protocol

from shared.clock import Clock

SWEEP_SECONDS = 0.5
_TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\nServer: sluice\r\n\r\n"


class Slow(Protocol):
    """A connection."""

    @property
    def transport(self) -> asyncio.Transport | None:
        """None once it is closed."""


class Patience:
    """seconds: from the first byte of a request, or from the connection's start, until its head must be there."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._pending: dict[Slow, float] = {}

    def began(self, connection: Slow) -> None:
        """The connection is there, or a part of a head."""
        if connection not in self._pending:
            self._pending[connection] = self._clock.monotonic() + self._seconds

    def over(self, connection: Slow) -> None:
        """The head is there, or the connection is not any more."""
        self._pending.pop(connection, None)

    async def sweep(self) -> None:
        """Close what is overdue, until cancelled."""
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            now = self._clock.monotonic()
            for connection in [each for each, due in self._pending.items() if due <= now]:
                self.over(connection)
                if connection.transport is not None and not connection.transport.is_closing():
                    connection.transport.write(_TIMED_OUT)
                    connection.transport.close()
