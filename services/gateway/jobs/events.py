"""`GET /v1/jobs/{id}/events`: what happens to a job, as Server-Sent Events, until it is over.

| event | data | when |
|---|---|---|
| `status` | the job | at first, unless the client has this state, and at each change |
| `progress` | `{attempt, done, total, message}` | the handler reported progress |
| `output` | `{attempt, chunk}` | the handler emitted a chunk |
| `reset` | the job | some of the last two were missed: forget what was put together from them |
| `done` | the job, which is terminal | the last event; the stream ends |

Each has an id, which says what state and which reports the client has seen: with it in `Last-Event-ID` a stream goes
on behind it, as far as reports are kept (1,024, 4 MiB, 1 h). A client that comes back after `done` is answered 204, at
which browsers stop asking. When nothing happens, a comment is sent every 15 s.

States come from `waiting`, as they do for every held request, so they come without Redis too; reports come from
`feeds`, and go on, with a `reset`, once Redis is back. A gateway that leaves ends its streams with a `retry` of a
second or more.
"""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from aiohttp import web

from services.gateway.http.edge import REQUEST_ID
from services.gateway.http.paging import check_query
from services.gateway.jobs.feeds import Feed, Feeds
from services.gateway.jobs.progress import Progress
from services.gateway.jobs.status import Statuses
from services.gateway.jobs.waiting import Waiting
from services.gateway.jobs.watches import Held
from shared.cache.contract import Position, ReportKind, StreamEntry
from shared.errors import CacheUnavailable, Overloaded
from shared.models.key import ApiKey
from shared.models.public import Snapshot

COMMENT_SECONDS = 15.0
WRITE_SECONDS = 30.0
"""A client that takes nothing for so long has left without saying so."""
RETRY_MS = (1_000, 3_000)
_ID = re.compile(r"([0-9a-f]{1,14})\.([0-9]{1,15})-([0-9]{1,15})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client has: the order of a state, and a place in the stream."""

    order: int = 0
    position: Position | None = None

    @classmethod
    def parse(cls, id: str | None) -> "Seen":
        """Of a `Last-Event-ID`. Nothing, for what is none of ours."""
        match = _ID.fullmatch(id or "")
        if match is None:
            return cls()
        epoch, number = int(match[2]), int(match[3])
        return cls(int(match[1], 16), Position(epoch, number) if epoch else None)

    def __str__(self) -> str:
        position = self.position or Position(0, 0)
        return f"{self.order:x}.{position.epoch}-{position.number}"

    def misses(self, next: Position) -> bool:
        """Whether there was something between what is seen and `next`."""
        if self.position is None:
            return next.number != 1
        return next != Position(self.position.epoch, self.position.number + 1)


def event(name: str, seen: Seen, data: bytes) -> bytes:
    """One event on the wire. data: JSON, one line by nature; if a handler's is not, it is one to the client."""
    lines = re.sub(rb"\r\n|\r|\n", b"\ndata: ", data)
    return b"event: %b\nid: %b\ndata: %b\n\n" % (name.encode(), str(seen).encode(), lines)


class Events:
    def __init__(
        self,
        *,
        statuses: Statuses,
        waiting: Waiting,
        feeds: Feeds,
        progress: Progress,
        chance: Callable[[], float],
    ) -> None:
        self._statuses = statuses
        self._waiting = waiting
        self._feeds = feeds
        self._progress = progress
        self._chance = chance

    async def get(self, request: web.Request, key: ApiKey) -> web.StreamResponse:
        """The endpoint. A request that is held, for as long as the job is not over."""
        issued = self._statuses.verify(request.match_info["id"], key.tenant)
        check_query(request, ())
        seen = Seen.parse(request.headers.get("Last-Event-ID"))
        async with self._waiting.held(issued, known=seen.order) as held, self._feeds.following(issued.text) as feed:
            if held.latest.terminal and seen.order >= held.latest.order:
                return web.Response(status=204, headers={"Cache-Control": "no-store"})
            wire = await Wire.open(request)
            with suppress(ConnectionResetError):
                await self._tell(Telling(held, feed, wire, seen))
            return wire.response

    async def _tell(self, telling: "Telling") -> None:
        held, feed, wire = telling.held, telling.feed, telling.wire
        while True:
            latest, hints = held.latest, feed.hints
            if latest.order > telling.seen.order and not latest.terminal:
                await telling.say("status", await self._progress.shown(latest))
            await self._catch_up(telling)
            if latest.terminal:
                if not latest.deleted:
                    await telling.say("done", latest)
                return await wire.close()
            if held.draining:
                low, high = RETRY_MS
                await wire.send(b"retry: %d\n\n" % round(low + (high - low) * self._chance()))
                return await wire.close()
            if latest is held.latest and hints == feed.hints:
                await telling.rest()

    async def _catch_up(self, telling: "Telling") -> None:
        """Send what the stream has behind the place where the client is."""
        while True:
            try:
                entries = await self._feeds.after(telling.feed, telling.seen.position)
            except (CacheUnavailable, Overloaded):
                return
            if not entries:
                return
            for entry in entries:
                if telling.seen.misses(entry.position):
                    before = Position(entry.position.epoch, entry.position.number - 1)
                    telling.seen = replace(telling.seen, position=before)
                    await telling.say("reset", await self._progress.shown(telling.held.latest))
                await telling.pass_on(entry)


class Telling:
    """One client, and what it has seen."""

    def __init__(self, held: Held, feed: Feed, wire: "Wire", seen: Seen) -> None:
        self.held = held
        self.feed = feed
        self.wire = wire
        self.seen = seen

    async def say(self, name: str, state: Snapshot) -> None:
        """Send the job's state."""
        self.seen = replace(self.seen, order=max(self.seen.order, state.order))
        await self.wire.send(event(name, self.seen, state.body))

    async def pass_on(self, entry: StreamEntry) -> None:
        """Send one report."""
        self.seen = replace(self.seen, position=entry.position)
        report = entry.report
        if report.kind is ReportKind.OUTPUT:
            data = b'{"attempt":%d,"chunk":%b}' % (report.attempt, report.data)
        else:
            data = b'{"attempt":%d,%b' % (report.attempt, report.data[1:])
        await self.wire.send(event(report.kind, self.seen, data))

    async def rest(self) -> None:
        """Return when something has happened, or when it is time for a comment, which is sent."""
        bell: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self.held.ringing(bell), self.feed.ringing(bell):
            try:
                async with asyncio.timeout_at(self.wire.sent_at + COMMENT_SECONDS):
                    await bell
            except TimeoutError:
                await self.wire.send(b":\n\n")


class Wire:
    """The response. What a client does not take is not made: each piece is sent before the next is fetched."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self._request = request
        self._loop = asyncio.get_running_loop()
        self.response = response
        self.sent_at = self._loop.time()
        """When the last piece was taken, on the loop's clock."""

    @classmethod
    async def open(cls, request: web.Request) -> "Wire":
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
                "X-Request-Id": request[REQUEST_ID],
                "Server": "sluice",
            }
        )
        await response.prepare(request)
        return cls(request, response)

    async def send(self, data: bytes) -> None:
        """Raises ConnectionResetError when the client has left, or takes nothing any more; then it is cut off."""
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self.response.write(data)
                self.sent_at = self._loop.time()
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ConnectionResetError("the client takes nothing") from None

    async def close(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(WRITE_SECONDS):
                await self.response.write_eof()
