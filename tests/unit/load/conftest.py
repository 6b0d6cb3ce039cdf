"""A server that gives out job ids, for the tests of this folder."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest_asyncio


@pytest_asyncio.fixture
async def serving_ids() -> AsyncIterator[int]:
    """The port of a server that accepts anything as a new job."""
    numbers = itertools.count()

    class Accepting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self._transport = transport

        def data_received(self, data: bytes) -> None:
            body = b'{"id":"job_%040d"}' % next(numbers)
            head = b"HTTP/1.1 202 Accepted\r\nContent-Length: %d\r\n\r\n" % len(body)
            self._transport.write(head + body)  # type: ignore[attr-defined]

    server = await asyncio.get_running_loop().create_server(Accepting, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
