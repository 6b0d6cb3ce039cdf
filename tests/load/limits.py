"""The limits that Sluice is held against: the least that aiohttp can be. `python -m tests.load.limits KIND PORT REPLY`.

`server` is the low-level `web.Server` with one constant reply, `application` a `web.Application` with one route. Each
answers any request with the JSON that REPLY is, so that both send the very bytes that Sluice sends.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Final

import uvloop
from aiohttp import web

from tests.load.generator.http1 import LOOPBACK

ROUTE: Final = "/v1/jobs/{id}"

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def constant(body: bytes) -> Handler:
    """A handler that answers everything with `body`."""

    async def handle(_request: web.BaseRequest) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    return handle


def _server(body: bytes) -> web.ServerRunner:
    return web.ServerRunner(web.Server(constant(body), access_log=None))


def _application(body: bytes) -> web.AppRunner:
    app = web.Application()
    app.router.add_get(ROUTE, constant(body))
    return web.AppRunner(app, access_log=None)


KINDS: Final[dict[str, Callable[[bytes], web.ServerRunner | web.AppRunner]]] = {
    "server": _server,
    "application": _application,
}


async def _serve(kind: str, port: int, body: bytes) -> None:
    runner = KINDS[kind](body)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port).start()
    await asyncio.Event().wait()  # until the harness ends this process


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()))
