"""Whoever posts batches: uploads until it is accepted, cancels in the middle, and asks for the end, whatever it meets.

A batch is found by its label, so that one of which no answer ever arrived is found too.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from time import monotonic
from typing import Any, Final

import aiohttp
import orjson

from tests.chaos.batches import Wanted
from tests.chaos.clients import CALL_SECONDS, PAUSE_SECONDS

UPLOAD_SECONDS: Final = 120.0
CANCEL_SECONDS: Final = 60.0
_CERTAIN: Final = frozenset({200, 202})
_CLOSED: Final = 409
"""To an upload: it was canceled meanwhile. To a cancel: it came too late."""
_PAGE: Final = 100

Json = dict[str, Any]


@dataclass(slots=True)
class BatchClient:
    """answered: by the batch's name, each id under which an upload of it was accepted."""

    session: aiohttp.ClientSession
    base_url: str
    token: str
    answered: dict[str, set[str]] = field(default_factory=dict)

    async def carry(self, wanted: Wanted) -> None:
        """Upload it, and cancel it when its time has come. Raises TimeoutError when neither is settled for long."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._upload(wanted))
            if wanted.canceled_after is not None:
                group.create_task(self._cancel(wanted, wanted.canceled_after))

    async def find(self, tag: str) -> dict[str, set[str]]:
        """The ids of the batches whose names begin so, by their names."""
        found: dict[str, set[str]] = {}
        for batch in await self.listed("/v1/batches"):
            name = batch["labels"].get("batch", "")
            if name.startswith(tag):
                found.setdefault(name, set()).add(batch["id"])
        return found

    async def read(self, path: str, **query: str) -> bytes:
        """Until it is answered. Raises TimeoutError."""
        async with asyncio.timeout(UPLOAD_SECONDS):
            while True:
                status, body = await self._call("GET", path, params=query)
                if status == 200:
                    return body
                await asyncio.sleep(PAUSE_SECONDS)

    async def listed(self, path: str, **query: str) -> list[Json]:
        """Every page of a list."""
        found: list[Json] = []
        cursor: dict[str, str] = {}
        while True:
            page = orjson.loads(await self.read(path, limit=str(_PAGE), **query, **cursor))
            found += page["data"]
            if page["next"] is None:
                return found
            cursor = {"cursor": page["next"]}

    async def _upload(self, wanted: Wanted) -> None:
        deadline = monotonic() + UPLOAD_SECONDS
        while True:
            status, body = await self._call("POST", "/v1/batches", **_sent(wanted))
            if status in _CERTAIN:
                self.answered.setdefault(wanted.name, set()).add(orjson.loads(body)["id"])
                return
            if status == _CLOSED and wanted.canceled_after is not None:
                return
            if 400 <= status < 500 and status not in {409, 429}:
                raise AssertionError(f"an upload is refused: {status} {body!r}")
            if monotonic() > deadline:
                raise TimeoutError(f"{wanted.name} was not accepted: {status} {body!r}")
            await asyncio.sleep(PAUSE_SECONDS)

    async def _cancel(self, wanted: Wanted, seconds: float) -> None:
        await asyncio.sleep(seconds)
        deadline = monotonic() + CANCEL_SECONDS
        while monotonic() < deadline:
            for id in (await self.find(wanted.name)).get(wanted.name, ()):
                status, _ = await self._call("POST", f"/v1/batches/{id}/cancel")
                if status in {*_CERTAIN, _CLOSED}:
                    return
            await asyncio.sleep(PAUSE_SECONDS)
        raise TimeoutError(f"{wanted.name} was not canceled")

    async def _call(
        self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any
    ) -> tuple[int, bytes]:
        """Status and body; 0 where nobody answered."""
        headers = {"Authorization": f"Bearer {self.token}"} | (headers or {})
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with self.session.request(
                method, self.base_url + path, headers=headers, timeout=timeout, **more
            ) as response:
                return response.status, await response.read()
        return 0, b""


def _sent(wanted: Wanted) -> Json:
    """The request, as JSON or as lines with the options in the query."""
    options = wanted.options
    if not wanted.lines:
        body = orjson.dumps({**options, "inputs": wanted.tasks})
        headers = {"Content-Type": "application/json", "Idempotency-Key": wanted.name}
        return {"data": BytesIO(body), "headers": headers}
    query = {f"label.{name}": value for name, value in options.pop("labels").items()}
    query |= {
        name: value if isinstance(value, str) else orjson.dumps(value).decode() for name, value in options.items()
    }
    body = b"".join(orjson.dumps(task) + b"\n" for task in wanted.tasks)
    headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": wanted.name}
    return {"data": BytesIO(body), "params": query, "headers": headers}
