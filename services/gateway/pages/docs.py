"""`/docs`: the description to browse and to try, by Swagger UI; and every file that a page of ours is made of."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from aiohttp import web

from services.gateway.http.paging import check_query
from services.gateway.http.problems import not_found
from services.gateway.http.static import Static
from services.gateway.pages import HTML, SECURITY
from shared.errors import ConfigError

_FILES: Final = Path(__file__).with_name("files")
_PACKAGE: Final = "mkdocs_swagger_ui_tag"
"""Carries the built Swagger UI with its licence. Nothing of it is run, or imported."""
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PAGE_HEADERS: Final = {**SECURITY, "Cache-Control": "public, no-cache"}
_ASSET_HEADERS: Final = {"Cache-Control": "public, max-age=3600"}


class Docs:
    """Reads all files when it is made. ConfigError without Swagger UI's."""

    def __init__(self) -> None:
        self._page = Static((_FILES / "docs.html").read_bytes(), HTML, _PAGE_HEADERS)
        self._assets = _assets()

    async def page(self, request: web.Request) -> web.StreamResponse:
        """`GET /docs`."""
        check_query(request, ())
        return await self._page.answer(request)

    async def asset(self, request: web.Request) -> web.StreamResponse:
        """`GET /docs/{asset}`."""
        check_query(request, ())
        found = self._assets.get(request.match_info["asset"])
        if found is None:
            raise not_found()
        return await found.answer(request)


def _assets() -> Mapping[str, Static]:
    paths = [*_swagger_ui(), *(path for path in _FILES.iterdir() if path.suffix in _TYPES)]
    return {path.name: Static(path.read_bytes(), _TYPES[path.suffix], _ASSET_HEADERS) for path in paths}


def _swagger_ui() -> tuple[Path, Path]:
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"the package {_PACKAGE}, which has Swagger UI's files, is not installed")
    root = Path(spec.submodule_search_locations[0]) / "swagger-ui"
    return root / "javascripts/swagger-ui-bundle.js", root / "stylesheets/swagger-ui.css"
