"""The network's faults, each seen from both of its ends: a proxy that does nothing would make every other test pass."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest
import pytest_asyncio

from tests.chaos.proxy import FaultProxy, Passing, Refusing, RepliesLost, Silent

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that sends back what it receives, in capitals, and remembers it."""

    def __init__(self) -> None:
        self.received = b""
        self.heard = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                self.received += data
                self.heard.set()
                writer.write(data.upper())
                await writer.drain()
            self.received += b"<end>"
            self.heard.set()
        except ConnectionError:
            self.received += b"<reset>"
            self.heard.set()
        finally:
            writer.close()

    async def until(self, received: bytes) -> None:
        async with asyncio.timeout(10):
            while received not in self.received:
                self.heard.clear()
                await self.heard.wait()


@pytest_asyncio.fixture
async def echo() -> AsyncIterator[tuple[Echo, FaultProxy]]:
    server = Echo()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    try:
        async with FaultProxy(f"{host}:{port}") as proxy:
            yield server, proxy
    finally:
        listener.close()


@pytest_asyncio.fixture
async def unhandled() -> AsyncIterator[list[dict[str, Any]]]:
    """What the loop had to handle because nobody else did."""
    loop, found = asyncio.get_running_loop(), list[dict[str, Any]]()
    loop.set_exception_handler(lambda _, context: found.append(context))
    yield found
    loop.set_exception_handler(None)


@asynccontextmanager
async def connected(proxy: FaultProxy) -> AsyncIterator[Streams]:
    host, _, port = proxy.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


async def exchange(streams: Streams, said: bytes) -> bytes:
    reader, writer = streams
    writer.write(said)
    async with asyncio.timeout(10):
        return await reader.readexactly(len(said))


async def test_what_is_sent_arrives_unchanged_both_ways_and_ends(echo: tuple[Echo, FaultProxy]) -> None:
    server, proxy = echo
    large = b"abc" * 700_000
    async with connected(proxy) as (reader, writer):
        assert await exchange((reader, writer), large) == large.upper()
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 10) == b""
    assert server.received == large + b"<end>"
    async with asyncio.timeout(10):
        while proxy.connections:
            await asyncio.sleep(0.01)


async def test_latency_delays_each_way_and_keeps_the_order(echo: tuple[Echo, FaultProxy]) -> None:
    server, proxy = echo
    async with connected(proxy) as streams:
        async with proxy.under(Passing(latency_seconds=0.05)):
            began = monotonic()
            assert await exchange(streams, b"round trip") == b"ROUND TRIP"
            assert monotonic() - began >= 0.1
            server.received = b""
            streams[1].write(b"slow, ")
            async with asyncio.timeout(10):
                while not proxy.holding:
                    await asyncio.sleep(0.001)
        assert await exchange(streams, b"fast") == b"SLOW"
        await server.until(b"slow, fast")


async def test_refusing_resets_what_is_open_and_refuses_what_is_new(echo: tuple[Echo, FaultProxy]) -> None:
    _, proxy = echo
    async with connected(proxy) as streams:
        await exchange(streams, b"hello")
        async with proxy.under(Refusing()):
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(streams[0].read(), 10)
            with pytest.raises(ConnectionRefusedError):
                async with connected(proxy):
                    pass
    async with connected(proxy) as streams:
        assert await exchange(streams, b"again") == b"AGAIN"


async def test_silence_holds_everything_up_and_loses_nothing(echo: tuple[Echo, FaultProxy]) -> None:
    server, proxy = echo
    async with connected(proxy) as streams:
        await exchange(streams, b"hello")
        async with proxy.under(Silent()):
            streams[1].write(b"meanwhile")
            async with connected(proxy) as others:
                others[1].write(b"new")
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(streams[0].readexactly(1), 0.2)
                assert server.received == b"hello"
                await proxy.become(Passing())
                assert await asyncio.wait_for(others[0].readexactly(3), 10) == b"NEW"
        assert await asyncio.wait_for(streams[0].readexactly(9), 10) == b"MEANWHILE"


async def test_lost_replies_leave_the_request_done_and_the_connection_reset(echo: tuple[Echo, FaultProxy]) -> None:
    server, proxy = echo
    async with connected(proxy) as streams:
        await exchange(streams, b"hello")
        async with proxy.under(RepliesLost()):
            streams[1].write(b"write this")
            await server.until(b"write this")
            await proxy.swallowed()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(streams[0].read(), 10)
    async with connected(proxy) as streams:
        assert await exchange(streams, b"again") == b"AGAIN"


async def test_a_connection_that_lost_nothing_outlives_lost_replies(echo: tuple[Echo, FaultProxy]) -> None:
    _, proxy = echo
    async with connected(proxy) as streams:
        await exchange(streams, b"hello")
        async with proxy.under(RepliesLost()):
            pass
        assert await exchange(streams, b"still") == b"STILL"


async def test_a_reset_ends_the_connections_of_the_moment_at_both_ends(echo: tuple[Echo, FaultProxy]) -> None:
    server, proxy = echo
    async with connected(proxy) as streams:
        await exchange(streams, b"hello")
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(streams[0].read(), 10)
        await server.until(b"<reset>")
    async with connected(proxy) as streams:
        assert await exchange(streams, b"again") == b"AGAIN"


async def test_half_closed_the_client_hears_the_end_and_is_still_heard(
    echo: tuple[Echo, FaultProxy], unhandled: list[dict[str, Any]]
) -> None:
    server, proxy = echo
    async with connected(proxy) as (reader, writer):
        await exchange((reader, writer), b"hello")
        proxy.half_close()
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.write(b"last words")
        await server.until(b"last words")
        writer.write_eof()
        await server.until(b"<end>")  # it had an answer to the last words, which nobody gets
    assert not unhandled


async def test_a_backend_that_is_not_there_ends_the_connection() -> None:
    async with FaultProxy("127.0.0.1:1") as proxy, connected(proxy) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 10)
