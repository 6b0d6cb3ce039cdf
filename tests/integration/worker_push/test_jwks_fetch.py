"""Fetching a key set over real HTTP: what is taken, and what is trouble."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from deploy.local.ports import LOOPBACK, choose_port
from services.worker import jwks
from services.worker.jwks import MAX_BYTES, SHORTEST_SECONDS, Fetched, KeysUnavailable, fetching


class Server:
    """Answers as told; never, when `hangs`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answer = web.Response(body=b"{}")
        self.hangs = False
        self.asked = 0

    async def respond(self, _request: web.Request) -> web.Response:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        return self.answer

    async def fetched(self) -> Fetched:
        return await fetching(self.url)()


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    port, app = choose_port(), web.Application()
    server = Server(f"http://{LOOPBACK}:{port}/keys")
    app.router.add_get("/keys", server.respond)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port).start()
    try:
        yield server
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("public, max-age=19843, must-revalidate, no-transform", 19_843),
        ("MAX-AGE=7", 7),
        ("", SHORTEST_SECONDS),
        ("no-store", SHORTEST_SECONDS),
        ("max-age=soon", SHORTEST_SECONDS),
        ("max-age=-1", SHORTEST_SECONDS),
    ],
)
async def test_an_answer_comes_with_how_long_it_holds(server: Server, said: str, seconds: float) -> None:
    server.answer = web.Response(body=b"keys", headers={"Cache-Control": said})
    assert await server.fetched() == Fetched(b"keys", seconds)


@pytest.mark.parametrize("status", [204, 301, 302, 307, 404, 500])
async def test_any_other_status_is_trouble_and_no_redirect_is_followed(server: Server, status: int) -> None:
    server.answer = web.Response(status=status, headers={"Location": server.url})
    with pytest.raises(KeysUnavailable):
        await server.fetched()
    assert server.asked == 1


async def test_an_answer_without_end_is_cut(server: Server) -> None:
    server.answer = web.Response(body=b" " * (MAX_BYTES + 1))
    with pytest.raises(KeysUnavailable, match="too large"):
        await server.fetched()


async def test_an_answer_that_does_not_come_is_not_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "FETCH_SECONDS", 0.05)
    server.hangs = True
    with pytest.raises(KeysUnavailable):
        await server.fetched()


async def test_nobody_there_is_trouble() -> None:
    with pytest.raises(KeysUnavailable):
        await Server(f"http://{LOOPBACK}:{choose_port()}/keys").fetched()
