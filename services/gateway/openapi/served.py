"""`GET /openapi.json`: the description, with the handlers that this gateway knows of. No key.

Made again only when workers have announced something else; the ETag changes with it.
"""

from collections.abc import Sequence
from typing import Any

import orjson
from aiohttp import web

from services.gateway.catalogue.handlers import Handlers
from services.gateway.http.paging import check_query
from services.gateway.http.static import Static
from services.gateway.openapi.announced import described
from services.gateway.openapi.parts import Tree
from shared.models.handler import HandlerEntry

_HEADERS = {"Cache-Control": "public, no-cache"}


class Description:
    """document: as `parts.load` has it."""

    def __init__(self, document: Tree, handlers: Handlers) -> None:
        self._document = document
        self._handlers = handlers
        self._entries: Sequence[HandlerEntry] = ()
        self._served = self._rendered()

    async def get(self, request: web.Request) -> web.StreamResponse:
        """The endpoint."""
        check_query(request, ())
        known = self._handlers.known
        if known != self._entries:
            self._entries = known
            self._served = self._rendered()
        return await self._served.answer(request)

    def _rendered(self) -> Static:
        document = described(self._document, self._entries, self._fits)
        return Static(orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS), "application/json", _HEADERS)

    def _fits(self, name: str, value: Any) -> bool:
        return self._handlers.takes(name, value)
