"""The API as an operator's terminal calls it: what needs the gateway's own rules goes through the gateway.

Used by the commands of dead letters, whose replays are checked and published as any other job's.
"""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from deploy.admin.settings import Settings
from shared.errors import ConfigError, SluiceError, Unavailable

CALL_SECONDS: Final = 30.0
MAX_WAIT_SECONDS: Final = 10.0
"""Between two tries, whatever the answer says."""
TRIES: Final = 5
_AGAIN: Final = frozenset({429, 503})


class GatewayUnavailable(Unavailable):
    """The gateway did not answer, or has too much to do."""


class Rejected(SluiceError):
    """The gateway refused the request. Asking again changes nothing."""


class Api:
    """An async context manager. Raises ConfigError where there is no address or key."""

    def __init__(self, settings: Settings) -> None:
        key = settings.api_key.reveal()
        if not settings.url or not key:
            raise ConfigError("SLUICE_URL and SLUICE_API_KEY must say where the gateway is, and who asks")
        self._base = settings.url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout, headers=self._headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def get(self, path: str, query: Mapping[str, str]) -> Any:
        """The answer's JSON. Raises GatewayUnavailable, Rejected."""
        return await self._call("GET", path, params=query)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """As `get`; only for what may be sent again."""
        return await self._call("POST", path, json=body)

    async def _call(self, method: str, path: str, **options: Any) -> Any:
        trouble = "the gateway does not answer"
        for attempt in range(TRIES):
            try:
                status, wait, body = await self._ask(method, path, options)
            except (aiohttp.ClientError, TimeoutError):
                status, wait, body = 0, 2.0**attempt / 2, None
            if 200 <= status < 300:
                return body
            if status and status not in _AGAIN:
                raise Rejected(_said(status, body))
            trouble = _said(status, body) if status else trouble
            await _pause(min(wait, MAX_WAIT_SECONDS) if attempt < TRIES - 1 else 0)
        raise GatewayUnavailable(trouble)

    async def _ask(self, method: str, path: str, options: dict[str, Any]) -> tuple[int, float, Any]:
        """Status, seconds to wait, and body."""
        assert self._session is not None
        async with self._session.request(method, self._base + path, **options) as answer:
            wait = answer.headers.get("Retry-After", "1")
            readable = "json" in answer.content_type
            return answer.status, float(wait) if wait.isdecimal() else 1.0, await answer.json() if readable else None


async def _pause(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)


def _said(status: int, body: Any) -> str:
    """A problem in a line."""
    if not isinstance(body, dict):
        return f"the gateway answered {status}"
    faults = "; ".join(f"{each['pointer']} {each['detail']}" for each in body.get("errors", ()))
    return f"{body.get('title', status)}: {body.get('detail', '')}{f' ({faults})' if faults else ''}"
