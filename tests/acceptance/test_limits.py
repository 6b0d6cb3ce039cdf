"""What a client may send and how fast: limits per key, slow senders, and bytes that are no HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from deploy.local.system import System
from tests.acceptance.client import ApiClient


@asynccontextmanager
async def connected(system: System) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", system.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def exchange(system: System, *pieces: bytes) -> bytes:
    """Send the pieces and read until the other side closes, or for five seconds."""
    async with connected(system) as (reader, writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 15)


async def test_a_key_that_asks_too_often_is_429_with_when_to_come_back(system: System, hasty: ApiClient) -> None:
    answers = await asyncio.gather(*(hasty.get(f"job_{'0' * 40}") for _ in range(60)))
    refused = [answer for answer in answers if answer.status == 429]
    assert {answer.status for answer in answers} == {404, 429}
    assert 20 <= len(refused) <= 50
    assert refused[0].json["type"] == "/problems/rate-limited"
    assert int(refused[0].headers["Retry-After"]) >= 1
    assert refused[0].headers["RateLimit-Policy"].startswith('"key";q=')
    assert refused[0].headers["RateLimit"].startswith('"key";r=0')


async def test_slow_headers_are_closed_in_time(system: System) -> None:
    began = time.monotonic()
    answer = await exchange(system, b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 5


async def test_a_silent_connection_is_closed_in_time(system: System) -> None:
    assert (await exchange(system)).startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_stops_is_408(system: System, api: ApiClient) -> None:
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    answer = await exchange(system, head.encode())
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"/problems/request-timeout" in answer


async def test_a_connection_that_is_used_stays_open_between_requests(system: System) -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    async with connected(system) as (reader, writer):
        for _ in range(3):
            writer.write(request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            assert head.startswith(b"HTTP/1.1 200 ")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /",
        b"GET /livez HTTP/1.1\nHost: x\n\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked, identity\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00",
        b"GET /livez HTTP/1.1\r\nHost : x\r\n\r\n",
    ],
)
async def test_ambiguous_or_broken_requests_are_refused_and_the_connection_closed(
    system: System, request_bytes: bytes
) -> None:
    answer = await exchange(system, request_bytes)
    assert answer.split(b" ")[1][:1] == b"4"
    assert answer.count(b"HTTP/1.") == 1


async def test_a_million_chunks_of_one_byte_disturb_nobody(system: System, api: ApiClient) -> None:
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )

    async def trickle() -> bytes:
        async with connected(system) as (reader, writer):
            writer.write(head.encode())
            for _ in range(1_000):
                if writer.is_closing() or reader.at_eof():
                    break
                writer.write(b"1\r\n \r\n" * 1_000)
                try:
                    await writer.drain()
                except ConnectionError:
                    break
            return await asyncio.wait_for(reader.read(4_096), 30)

    flood = asyncio.create_task(trickle())
    slowest = 0.0
    while not flood.done():
        began = time.monotonic()
        assert (await api.request("GET", "/livez")).status == 200
        slowest = max(slowest, time.monotonic() - began)
    with suppress(ConnectionError):  # closed while it still sent: as good an answer
        assert b" 413 " in await flood
    assert slowest < 2.0
