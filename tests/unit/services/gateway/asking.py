"""Requests as an endpoint gets them, without HTTP, and what it answers."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import orjson
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from services.gateway.http.problems import Problem
from shared.models.key import ApiKey

JSON = {"Content-Type": "application/json"}


def request(
    method: str = "GET",
    path: str = "/",
    *,
    body: Any = None,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    **match_info: str,
) -> web.Request:
    """body: sent as JSON, unless it is None."""
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    if body is not None:
        stream.feed_data(orjson.dumps(body))
    stream.feed_eof()
    given = CIMultiDict({**(JSON if body is not None else {}), **(headers or {})})
    target = f"{path}?{urlencode(query)}" if query else path
    return make_mocked_request(method, target, given, payload=stream, match_info=match_info)


async def answered(
    endpoint: Callable[[web.Request, ApiKey], Awaitable[web.StreamResponse]], key: ApiKey, asked: web.Request
) -> tuple[int, Any]:
    """Status and JSON of the answer, refusals included."""
    try:
        response = await endpoint(asked, key)
    except Problem as problem:
        response = problem.response("req_1")
    assert isinstance(response, web.Response)
    assert response.body is None or isinstance(response.body, bytes)
    return response.status, orjson.loads(response.body) if response.body else None
