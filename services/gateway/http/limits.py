"""What a body may be: its size, its time to arrive, its shape. Everything beyond is refused before it costs much."""

import asyncio
import re
from typing import Any

import orjson
from aiohttp import web
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge

from services.gateway.http.problems import (
    INVALID_REQUEST,
    REQUEST_TIMEOUT,
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    Problem,
)

MAX_DEPTH = 64
MAX_KEYS = 10_000
_NESTING = (dict, list)
_SPACED = re.compile(rb'"\s+:')
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"(\s*:)?')


async def read_json(request: web.Request, *, max_bytes: int, seconds: float) -> Any:
    """The body as JSON, within the limits. Raises Problem."""
    if request.content_type != "application/json":
        raise Problem(UNSUPPORTED_MEDIA_TYPE, "The body must be application/json.")
    return parse_json(await read_body(request, max_bytes=max_bytes, seconds=seconds))


async def read_body(request: web.Request, *, max_bytes: int, seconds: float) -> bytes:
    """The whole body. aiohttp would wait for ever for one that stops half way. Raises Problem."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(UNSUPPORTED_MEDIA_TYPE, "Compressed bodies are not taken.")
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    try:
        body = await (request.read() if request.content.is_eof() else _within(seconds, request))
    except HTTPRequestEntityTooLarge:
        raise _too_large(max_bytes) from None
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    return body


async def _within(seconds: float, request: web.Request) -> bytes:
    """The body of a sender that has not sent all of it yet."""
    try:
        async with asyncio.timeout(seconds):
            return await request.read()
    except TimeoutError:
        raise Problem(
            REQUEST_TIMEOUT, f"The body took longer than {seconds:g} s.", headers={"Connection": "close"}
        ) from None


def parse_json(body: bytes) -> Any:
    """Strict JSON: no NaN, no key twice, at most 64 deep with at most 10,000 keys an object. Raises Problem."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        raise Problem(INVALID_REQUEST, f"The body is not JSON: {fault.msg}.") from None
    if _repeats_a_key(body, _count_keys(value)):
        raise Problem(INVALID_REQUEST, "An object in the body has the same key twice.")
    return value


def _repeats_a_key(body: bytes, keys: int) -> bool:
    """Whether more keys are written than the `keys` that were read.

    Where none has space behind it, each has `":` behind it, which may stand elsewhere too: found `keys` times, no key
    is written twice. Only where that does not tell, every string is looked at.
    """
    if body.count(b'":') == keys and _SPACED.search(body) is None:
        return False
    return keys != sum(1 for match in _STRING.finditer(body) if match[1])


def _count_keys(value: Any) -> int:
    """How many keys all objects of `value` have together, walking level by level. Raises Problem past a limit."""
    keys, level = 0, [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                if len(each) > MAX_KEYS:
                    raise Problem(INVALID_REQUEST, f"An object in the body has more than {MAX_KEYS} keys.")
                keys += len(each)
                below += [item for item in each.values() if isinstance(item, _NESTING)]
            elif isinstance(each, list):
                below += [item for item in each if isinstance(item, _NESTING)]
        if not below:
            return keys
        level = below
    raise Problem(INVALID_REQUEST, f"The body is nested deeper than {MAX_DEPTH}.")


def _too_large(max_bytes: int) -> Problem:
    return Problem(TOO_LARGE, f"The body is larger than {max_bytes} bytes.", headers={"Connection": "close"})
