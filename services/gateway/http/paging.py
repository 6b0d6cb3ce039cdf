"""Lists in pages: what a query asks for, and the answer with the way on.

A cursor is opaque and signed over its list and whose it is: what comes back is a place that this list has given out, or
a 400. Used by every list; the signing keys are those of ids.
"""

import base64
import binascii
import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from services.gateway.http.problems import INVALID_REQUEST, OUT_OF_RANGE, Fault, Problem
from shared.ids import IdKeys

MAX_PAGE = 100
DEFAULT_PAGE = 50
_MAC_BYTES = 16


@dataclass(frozen=True, slots=True)
class Page:
    """The part of a list that a query asks for: up to `limit` entries behind `after`."""

    limit: int
    after: str
    """A place as `Cursors.seal` was given it; empty for the beginning."""


class Cursors:
    """Seals places of lists, and opens what it has sealed."""

    def __init__(self, keys: IdKeys) -> None:
        self._keys = keys

    def seal(self, listing: str, place: str) -> str:
        """listing: the list and whose it is; the cursor is good for no other."""
        version = self._keys.current
        raw = bytes((version,)) + self._mac(version, listing, place.encode()) + place.encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def open(self, listing: str, cursor: str) -> str:
        """The place. Raises Problem 400 for what this list has not given out."""
        raw = _decoded(cursor)
        version, mac, place = raw[:1], raw[1 : 1 + _MAC_BYTES], raw[1 + _MAC_BYTES :]
        if not version or version[0] not in self._keys.by_version:
            raise _not_ours()
        if not hmac.compare_digest(mac, self._mac(version[0], listing, place)):
            raise _not_ours()
        return place.decode()

    def _mac(self, version: int, listing: str, place: bytes) -> bytes:
        key = self._keys.by_version[version]
        return hmac.digest(key, b"cursor\0" + listing.encode() + b"\0" + place, "sha256")[:_MAC_BYTES]


def page_of(request: web.Request, cursors: Cursors, listing: str, *, filters: Collection[str] = ()) -> Page:
    """What the query asks for. filters: the parameters that it may have besides. Raises Problem 400 or 422."""
    check_query(request, {"limit", "cursor", *filters})
    cursor = request.query.get("cursor")
    return Page(_limit(request.query.get("limit")), "" if cursor is None else cursors.open(listing, cursor))


def check_query(request: web.Request, allowed: Collection[str]) -> None:
    """Raises Problem 400 for a parameter that is unknown, or that is there twice."""
    for name in request.query:
        if name not in allowed:
            raise Problem(INVALID_REQUEST, f"The query does not take {name!r}.")
        if len(request.query.getall(name)) > 1:
            raise Problem(INVALID_REQUEST, f"The query has {name!r} more than once.")


def page_answer(request: web.Request, data: Sequence[Any], next_cursor: str | None) -> web.Response:
    """A page as JSON, with `Link: rel=next` where there is more."""
    headers = {"Cache-Control": "private, no-cache"}
    if next_cursor is not None:
        headers["Link"] = f'<{request.rel_url.update_query(cursor=next_cursor)}>; rel="next"'
    body = orjson.dumps({"data": data, "next": next_cursor})
    return web.Response(body=body, content_type="application/json", headers=headers)


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_PAGE
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise Problem(INVALID_REQUEST, "The query's limit must be a whole number.")
    if not 1 <= int(text) <= MAX_PAGE:
        fault = Fault("/limit", f"must be from 1 to {MAX_PAGE}")
        raise Problem(OUT_OF_RANGE, "The request is beyond a limit.", errors=[fault])
    return int(text)


def _decoded(cursor: str) -> bytes:
    """Only the one spelling that `seal` gives it."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _not_ours() from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != cursor:
        raise _not_ours()
    return raw


def _not_ours() -> Problem:
    return Problem(INVALID_REQUEST, "The query's cursor is none that this list has given out.")
