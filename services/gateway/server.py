"""The HTTP server: listens, and goes down without hanging up on anyone.

aiohttp's defaults are for other work: idle connections are kept for an hour, shutting down takes a minute, handlers go
on after their client has left. All of that is set here.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from services.gateway.edge import Edge
from services.gateway.hot import HotLane
from services.gateway.settings import Settings

BACKLOG = 4_096
KEEPALIVE_SECONDS = 75.0
"""Above the 60 s for which load balancers keep idle connections: they, not we, decide when one is over."""
CLOSE_SECONDS = 1.0
DRAIN_TICK_SECONDS = 0.02


class Server:
    def __init__(self, runner: web.AppRunner, edge: Edge) -> None:
        self._runner = runner
        self._edge = edge

    async def stop_listening(self) -> None:
        """Take no new connections, and close each that is open after its answer."""
        self._edge.draining = True
        for site in self._runner.sites:
            await site.stop()

    async def finish(self, seconds: float) -> None:
        """Return when every request has been answered, or after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._edge.idle()
        except TimeoutError:
            pass


@asynccontextmanager
async def serving(settings: Settings, app: web.Application, edge: Edge, hot: HotLane) -> AsyncIterator[Server]:
    """Listen until the block ends. Several processes may share the port, each with its own queue of connections."""
    if HttpRequestParser is HttpRequestParserPy:
        raise RuntimeError("aiohttp's C parser is not loaded; the pure one is ten times slower")
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        keepalive_timeout=KEEPALIVE_SECONDS,
        shutdown_timeout=CLOSE_SECONDS,
    )
    await runner.setup()
    assert runner.server is not None
    runner.server.request_handler = hot.before(runner.server.request_handler)
    try:
        await web.TCPSite(runner, settings.host, settings.port, reuse_port=True, backlog=BACKLOG).start()
        yield Server(runner, edge)
    finally:
        await runner.cleanup()
