"""Servers that do to a caller what no well-meant library would: a raw socket, and what is written to it."""

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
CHUNK = b"x" * 65_536


async def drip_headers(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        writer.write(b"y")
        await writer.drain()
        await asyncio.sleep(0.05)


async def drip_body(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b"y")
        await writer.drain()
        await asyncio.sleep(0.05)


async def huge_header(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """100 MB, if anybody reads them."""
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(1_600):
        writer.write(CHUNK)
        await writer.drain()


async def endless_body(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n")
    while True:
        writer.write(CHUNK)
        await writer.drain()


async def gzip_bomb(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    packer = zlib.compressobj(9, wbits=31)
    body = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


async def nonsense(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xffSSH-2.0-OpenSSH\r\n\r\n")
    await writer.drain()


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def silence(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3_600)


@asynccontextmanager
async def playing(play: Play, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that answers each request so; its port."""
    open_ones: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_ones.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await play(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            open_ones.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(open_ones):
            task.cancel()
        for task in list(open_ones):
            with suppress(asyncio.CancelledError):
                await task
