"""Bytes that are the same for everybody: served with an ETag, and compressed, once, for who takes that.

Used for the description of the API and the pages. Nothing else of the gateway is compressed: nothing else is the same
twice, or larger than what compressing costs.
"""

import asyncio
import gzip
import hashlib
import re
from collections.abc import Mapping

from aiohttp import web

COMPRESSED_FROM_BYTES = 1_024
LEVEL = 6
_GZIP = re.compile(r"(?:^|,)\s*(?:gzip|\*)\s*(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))", re.IGNORECASE | re.ASCII)
_TAG = re.compile(r'(?:W/)?"([^"]*)"')


class Static:
    """headers: of every answer, a 304 included."""

    def __init__(self, body: bytes, content_type: str, headers: Mapping[str, str]) -> None:
        self._body = body
        self._content_type = content_type
        self._headers = {"Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff", **headers}
        self._hash = hashlib.sha256(body).hexdigest()[:32]
        self._compressed: bytes | None = None

    async def answer(self, request: web.Request) -> web.Response:
        """The bytes, or 304 for who has them."""
        compressed = len(self._body) >= COMPRESSED_FROM_BYTES and _GZIP.search(
            request.headers.get("Accept-Encoding", "")
        )
        tag = f"{self._hash}-gzip" if compressed else self._hash
        headers = {**self._headers, "ETag": f'"{tag}"'}
        if self._is_known(request.headers.get("If-None-Match", "")):
            return web.Response(status=304, headers=headers)
        body = self._body
        if compressed:
            headers["Content-Encoding"] = "gzip"
            body = await self._gzipped()
        return web.Response(body=body, headers={**headers, "Content-Type": self._content_type})

    async def _gzipped(self) -> bytes:
        if self._compressed is None:  # beside the loop: the largest takes a tenth of a second
            self._compressed = await asyncio.to_thread(gzip.compress, self._body, LEVEL, mtime=0)
        return self._compressed

    def _is_known(self, if_none_match: str) -> bool:
        tags = {tag.removesuffix("-gzip") for tag in _TAG.findall(if_none_match)}
        return if_none_match.strip() == "*" or self._hash in tags
