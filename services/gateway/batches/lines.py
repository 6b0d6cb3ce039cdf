"""Lines of a body as they arrive: never more in memory than was just received and the line that is not whole yet.

aiohttp stops reading the connection while nobody takes what has come, so a client is slowed down to what the broker
takes.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from aiohttp import web

from services.gateway.http.problems import INVALID_REQUEST, REQUEST_TIMEOUT, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, Problem

CONTENT_TYPE: Final = "application/x-ndjson"
CLOSE: Final = {"Connection": "close"}


def check_encoding(request: web.Request) -> None:
    """Raises Problem 415 for a compressed body."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(UNSUPPORTED_MEDIA_TYPE, "Compressed bodies are not taken.")


async def lines(request: web.Request, *, max_bytes: int, silence_seconds: float) -> AsyncIterator[Sequence[bytes]]:
    """The lines of the body, several at a time, without their ends and without blank ones.

    max_bytes: of a line. silence_seconds: for the next bytes to come. Raises Problem.
    """
    begun = bytearray()
    while piece := await _next(request, silence_seconds):
        if b"\n" in piece:
            begun += piece
            *whole, rest = bytes(begun).split(b"\n")
            begun = bytearray(rest)
            if any(len(line) > max_bytes for line in whole):
                raise _too_long(max_bytes)
            yield [line for each in whole if (line := each.strip())]
        else:
            begun += piece
        if len(begun) > max_bytes:
            raise _too_long(max_bytes)
    if last := bytes(begun).strip():
        yield [last]


async def _next(request: web.Request, seconds: float) -> bytes:
    """What has come of the body; nothing at its end."""
    try:
        async with asyncio.timeout(seconds):
            return await request.content.readany()
    except TimeoutError:
        raise Problem(REQUEST_TIMEOUT, f"Nothing came for {seconds:g} s.", headers=CLOSE) from None
    except (web.RequestPayloadError, ConnectionError):
        raise Problem(INVALID_REQUEST, "The body broke off.", headers=CLOSE) from None


def _too_long(max_bytes: int) -> Problem:
    return Problem(TOO_LARGE, f"A line is longer than {max_bytes} bytes.", headers=CLOSE)
