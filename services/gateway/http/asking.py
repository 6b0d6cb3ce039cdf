"""What a request may carry beside its path, for routes that take little or nothing: nothing unknown is let pass."""

from typing import Any

from aiohttp import web

from services.gateway.http.limits import read_body, read_json
from services.gateway.http.paging import check_query
from services.gateway.http.problems import INVALID_REQUEST, Problem

MAX_BODY_BYTES = 4_096
BODY_SECONDS = 10.0


async def nothing_else(request: web.Request) -> None:
    """Raises Problem 400 unless the request has no query and no body; an empty object counts as none."""
    check_query(request, ())
    if request.can_read_body:
        body = await read_body(request, max_bytes=MAX_BODY_BYTES, seconds=BODY_SECONDS)
        if body not in {b"", b"{}"}:
            raise Problem(INVALID_REQUEST, "This request takes no body.")


async def small_object(request: web.Request, *, max_bytes: int = MAX_BODY_BYTES) -> Any:
    """The body as JSON, an empty object without one. Raises Problem."""
    check_query(request, ())
    if not request.can_read_body:
        return {}
    return await read_json(request, max_bytes=max_bytes, seconds=BODY_SECONDS)
