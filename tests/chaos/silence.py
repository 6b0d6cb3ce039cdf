"""Endpoints that are black holes: names that never resolve, and servers that never answer. All on this machine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class _SilentDns(asyncio.DatagramProtocol):
    """Hears every question and answers none."""

    def __init__(self) -> None:
        self.asked = 0

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1


@asynccontextmanager
async def silent_dns() -> AsyncIterator[tuple[str, _SilentDns]]:
    """Its `host:port`, and what it has heard."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(_SilentDns, local_addr=("127.0.0.1", 0))
    try:
        yield f"127.0.0.1:{transport.get_extra_info('sockname')[1]}", protocol
    finally:
        transport.close()


class _SilentServer(asyncio.Protocol):
    """Takes a connection, reads what comes, and says nothing."""

    def __init__(self, open_ones: set[asyncio.BaseTransport]) -> None:
        self._open = open_ones

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self._transport)


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """Its port."""
    open_ones: set[asyncio.BaseTransport] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _SilentServer(open_ones), "127.0.0.1", 0, backlog=1_024)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for transport in list(open_ones):
            transport.close()
