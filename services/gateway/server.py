"""The HTTP server: listens, and goes down without hanging up on anyone.

aiohttp's defaults are for other work: idle connections are kept for an hour, shutting down takes a minute, handlers go
on after their client has left. All of that is set here.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from services.gateway.edge import Edge
from services.gateway.hot import HotLane
from services.gateway.patience import Patience
from services.gateway.problems import INTERNAL, INVALID_REQUEST, Problem
from services.gateway.settings import Settings

BACKLOG = 4_096
KEEPALIVE_SECONDS = 75.0
"""Above the 60 s for which load balancers keep idle connections: they, not we, decide when one is over."""
CLOSE_SECONDS = 1.0
LAST_BYTES_SECONDS = 0.2
"""aiohttp writes the end of an answer after its handler has returned."""

_log = logging.getLogger("sluice.gateway")


class _Connection(web.RequestHandler):
    """One connection, whose malformed requests get our kind of refusal."""

    __slots__ = ()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Called by aiohttp for bytes that are no request; what they are, nobody but their sender needs to read."""
        if status < 500:
            _log.info("a malformed request", extra={"status": status, "fault": type(exc).__name__})
            refusal = Problem(INVALID_REQUEST, "The bytes sent are not a valid HTTP request.")
        else:
            _log.error("a connection failed", exc_info=exc)
            refusal = Problem(INTERNAL, "An unexpected failure.")
        request_id = f"req_{os.urandom(8).hex()}"
        response = refusal.response(request_id)
        response.headers.update({"X-Request-Id": request_id, "Server": "sluice"})
        response.force_close()
        return response


class Server:
    def __init__(self, listening: asyncio.Server, edge: Edge) -> None:
        self._listening = listening
        self._edge = edge

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
    settings: Settings, app: web.Application, edge: Edge, hot: HotLane, patience: Patience
) -> AsyncIterator[Server]:
    """Listen until the block ends. Several processes may share the port, each with its own queue of connections."""
    if HttpRequestParser is HttpRequestParserPy:
        raise RuntimeError("aiohttp's C parser is not loaded; the pure one is ten times slower")
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=CLOSE_SECONDS)
    await runner.setup()
    manager, loop = runner.server, asyncio.get_running_loop()
    assert manager is not None
    manager.request_handler = patience.around(hot.before(manager.request_handler))

    def connection() -> _Connection:
        return _Connection(
            manager,
            loop=loop,
            access_log=cast(logging.Logger, None),
            keepalive_timeout=KEEPALIVE_SECONDS,
            auto_decompress=False,
        )

    listening = await loop.create_server(
        patience.guarding(connection), settings.host, settings.port, reuse_port=True, backlog=BACKLOG
    )
    try:
        yield Server(listening, edge)
    finally:
        listening.close()
        await runner.cleanup()
