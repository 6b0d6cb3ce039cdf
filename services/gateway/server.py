"""The HTTP server: listens, and goes down without hanging up on anyone.

aiohttp's defaults are for other work: idle connections are kept for an hour, shutting down takes a minute, handlers go
on after their client has left. All of that is set here.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from services.gateway.express.connection import Connection, Lane
from services.gateway.http.edge import Edge
from services.gateway.http.patience import Patience
from services.gateway.settings import Settings

BACKLOG = 4_096
CLOSE_SECONDS = 1.0
LAST_BYTES_SECONDS = 0.2
"""aiohttp writes the end of an answer after its handler has returned."""


class Server:
    def __init__(self, listening: asyncio.Server, edge: Edge) -> None:
        self._listening = listening
        self._edge = edge

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listening.sockets[0].getsockname()[1]
        return port

    async def stop_listening(self) -> None:
        """Take no new connections, and close each that is open after its answer."""
        self._edge.draining = True
        self._listening.close()

    async def finish(self, seconds: float) -> None:
        """Return when every request has been answered, or after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._edge.idle()
                await asyncio.sleep(LAST_BYTES_SECONDS)
        except TimeoutError:
            pass


@asynccontextmanager
async def serving(
    settings: Settings, app: web.Application, edge: Edge, lane: Lane, patience: Patience
) -> AsyncIterator[Server]:
    """Listen until the block ends. Several processes may share the port, each with its own queue of connections."""
    if HttpRequestParser is HttpRequestParserPy:
        raise RuntimeError("aiohttp's C parser is not loaded; the pure one is ten times slower")
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=CLOSE_SECONDS)
    await runner.setup()
    manager, loop = runner.server, asyncio.get_running_loop()
    assert manager is not None
    listening = await loop.create_server(
        lambda: Connection(manager, lane, patience), settings.host, settings.port, reuse_port=True, backlog=BACKLOG
    )
    try:
        yield Server(listening, edge)
    finally:
        listening.close()
        await runner.cleanup()
