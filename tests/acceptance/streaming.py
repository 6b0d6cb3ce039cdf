"""A client of Server-Sent Events as the standard describes it, over HTTP and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from tests.acceptance.client import ApiClient


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    id: str
    data: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.data)


@dataclass(slots=True)
class Stream:
    """events: in the order heard. Comments and the last `retry` are kept apart."""

    response: aiohttp.ClientResponse
    comments: int = 0
    retry: int | None = None

    async def __aiter__(self) -> AsyncIterator[Event]:
        fields: dict[bytes, list[bytes]] = {}
        async for ended in self.response.content:
            line = ended.rstrip(b"\n")
            if not line:
                if b"data" in fields:
                    yield Event(fields[b"event"][-1].decode(), fields[b"id"][-1].decode(), b"\n".join(fields[b"data"]))
                fields = {}
            elif line.startswith(b":"):
                self.comments += 1
            else:
                name, _, value = line.partition(b": ")
                if name == b"retry":
                    self.retry = int(value)
                fields.setdefault(name, []).append(value)

    async def until(self, name: str, within: float = 40.0) -> list[Event]:
        """What is heard, up to the first event of that name."""
        heard = []
        async with asyncio.timeout(within):
            async for event in self:
                heard.append(event)
                if event.name == name:
                    return heard
        raise AssertionError(f"the stream ended without {name}: {[each.name for each in heard]}")

    async def rest(self, within: float = 40.0) -> list[Event]:
        """Everything up to the end of the stream."""
        async with asyncio.timeout(within):
            return [event async for event in self]


@asynccontextmanager
async def following(api: ApiClient, id: str, last: str | None = None) -> AsyncIterator[Stream]:
    headers = {"Authorization": f"Bearer {api.token}"} | ({} if last is None else {"Last-Event-ID": last})
    async with api.session.get(f"{api.base_url}/v1/jobs/{id}/events", headers=headers) as response:
        assert response.status == 200, await response.read()
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Request-Id"]
        yield Stream(response)
