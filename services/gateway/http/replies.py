"""An HTTP answer as a value, before aiohttp writes it or `express` does. Pure."""

from collections.abc import Mapping

from aiohttp import web

from shared.values import value

JSON = "application/json"


@value(frozen=True, slots=True)
class Reply:
    """An answer, before it is the application's or goes out by itself. body: None where there is none (304)."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None
    content_type: str = JSON

    def response(self) -> web.Response:
        if self.body is None:
            return web.Response(status=self.status, headers=self.headers)
        return web.Response(body=self.body, status=self.status, content_type=self.content_type, headers=self.headers)
