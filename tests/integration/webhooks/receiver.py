"""A real HTTP server on this machine that plays every kind of endpoint, and remembers the bytes that came."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import standardwebhooks
from aiohttp import web

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Arrival:
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float
    """On the loop's clock."""

    @property
    def message(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    def verify(self, secret: str) -> None:
        """Raises WebhookVerificationError."""
        standardwebhooks.Webhook(secret).verify(self.body, dict(self.headers))


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def ok(_request: web.Request) -> web.Response:
    return web.Response(text="thank you")


def status(code: int, **headers: str) -> Answer:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=code, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


@dataclass(slots=True)
class Receiver:
    """answers: by path; what has none answers 200."""

    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    arrivals: list[Arrival] = field(default_factory=list)

    def url(self, path: str = "/", host: str = "localhost") -> str:
        return f"http://{host}:{self.port}{path}"

    def at(self, path: str) -> list[Arrival]:
        return [each for each in self.arrivals if each.path == path]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        now = asyncio.get_running_loop().time()
        self.arrivals.append(Arrival(request.path, {k.lower(): v for k, v in request.headers.items()}, body, now))
        return await self.answers.get(request.path, ok)(request)

    async def until(self, count: int, path: str = "/", *, within: float = PATIENCE_SECONDS) -> list[Arrival]:
        """The arrivals at `path` once there are so many."""
        await until(lambda: len(self.at(path)) >= count, within=within)
        return self.at(path)


async def until(condition: Callable[[], bool], *, within: float = PATIENCE_SECONDS) -> None:
    """Return once it holds. TimeoutError after `within` seconds."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.005)


async def until_true(condition: Callable[[], Awaitable[bool]], *, within: float = PATIENCE_SECONDS) -> None:
    """The same, of something that takes asking."""
    async with asyncio.timeout(within):
        while not await condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{tail:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()
