"""One connection: aiohttp's own, with the express lane between its parser and its request loop.

The lane is offered a request when nothing else is under way on the connection, so answers keep the order of requests.
While a request is held there, whatever the client sends behind it waits, unread beyond a bound. The connection's idle
time is aiohttp's; the time that a request's head may take is `patience`'s.

Made by `server`. Leans on a few private names of `web.RequestHandler` (`_parser`, `_messages`, `_waiter`,
`_next_keepalive_close_time`); the lock file pins aiohttp, and the express lane's tests fail where they change.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from services.gateway.http.headers import MAX_WAIT_SECONDS
from services.gateway.http.patience import Patience
from services.gateway.http.problems import INTERNAL, INVALID_REQUEST, Problem

KEEPALIVE_SECONDS = 75.0
"""Above the 60 s for which load balancers keep idle connections: they, not we, decide when one is over."""

_log = logging.getLogger("sluice.gateway")


class Lane(Protocol):
    """Where the connection offers requests first."""

    def take(self, message: RawRequestMessage, payload: StreamReader, connection: "Connection") -> bool:
        """Whether it took the request: then it has called `reply`, or `hold` and will."""


class Connection(web.RequestHandler):
    __slots__ = ("_behind", "_handed_on", "_lane", "_leave", "_patience")

    def __init__(self, manager: web.Server, lane: Lane, patience: Patience) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            access_log=cast(logging.Logger, None),
            keepalive_timeout=KEEPALIVE_SECONDS,
            auto_decompress=False,
        )
        self._parser = cast(Any, _Sieve(self._parser, self))
        self._lane = lane
        self._patience = patience
        self._leave: Callable[[], object] | None = None
        self._behind: list[Any] = []
        self._handed_on = 0
        """Requests that are aiohttp's, and not answered yet."""

    # For the lane

    def reply(self, answer: bytes) -> None:
        """Send the answer to the request that was taken; nothing happens if the client has left."""
        self._leave = None
        if self.transport is None:
            return
        self.transport.write(answer)
        self._next_keepalive_close_time = self._loop.time() + KEEPALIVE_SECONDS
        if self._behind:
            behind, self._behind = self._behind, []
            self._hand_on(behind)

    def hold(self, leave: Callable[[], object]) -> None:
        """The answer comes later; `leave` is called if the client leaves before it."""
        self._leave = leave
        self._next_keepalive_close_time = self._loop.time() + MAX_WAIT_SECONDS + KEEPALIVE_SECONDS

    # Between the parser and aiohttp

    def sift(self, messages: Sequence[Any]) -> Sequence[Any]:
        """What of the parsed requests is aiohttp's."""
        if self._leave is not None:
            if messages:
                self._behind.extend(messages)
                self._pause_reading_for_buffer()
            return ()
        if not messages:
            if not self._handed_on:
                self._patience.began(self)
            return messages
        self._patience.over(self)
        if not self._handed_on and len(messages) == 1 and not self._paused and self._taken(*messages[0]):
            return ()
        self._handed_on += len(messages)
        return messages

    def _taken(self, message: Any, payload: StreamReader) -> bool:
        if not isinstance(message, RawRequestMessage):
            return False
        self._leave = _nothing  # reading the body makes aiohttp feed the parser again, with nothing
        if not self._lane.take(message, payload, self):
            self._leave = None
            return False
        if self._parser is not None:
            self._parser.message_consumed()
        return True

    def _hand_on(self, behind: Sequence[Any]) -> None:
        """What came while a request was held, to aiohttp."""
        self._handed_on += len(behind)
        self._messages.extend(behind)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._resume_reading_for_buffer()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """The end of every request that was aiohttp's."""
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._handed_on -= 1

    # The connection's life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._patience.began(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._patience.over(self)
        self._behind.clear()
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()
        super().connection_lost(exc)

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


def _nothing() -> None:
    """There is nothing to leave yet."""


class _Sieve:
    """aiohttp's parser, whose requests pass through `sift`."""

    __slots__ = ("_connection", "_parser")

    def __init__(self, parser: Any, connection: Connection) -> None:
        self._parser = parser
        self._connection = connection

    def feed_data(self, data: bytes) -> tuple[Sequence[Any], bool, bytes]:
        messages, upgraded, tail = self._parser.feed_data(data)
        return self._connection.sift(messages), upgraded, tail

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)
