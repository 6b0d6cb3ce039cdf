"""A TCP proxy in front of a server, which a test can make lose bytes, freeze or cut: the network, at its worst."""

import asyncio
from types import TracebackType
from typing import Self


class FaultyProxy:
    """An async context manager. It passes everything on until told otherwise.

    address: `host:port` of the server. port: where to listen; 0 for any.
    """

    def __init__(self, address: str, port: int = 0) -> None:
        self._host, _, server_port = address.rpartition(":")
        self._server_port = int(server_port)
        self._port = port
        self.lose_requests = False
        """What clients send from now on is swallowed."""
        self.lose_replies = False
        """What the server sends from now on is swallowed."""
        self._open: set[asyncio.StreamWriter] = set()
        self._lost = asyncio.Event()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self.cut()
        await self._listener.wait_closed()

    async def lost_something(self) -> None:
        """Return once something was swallowed since the last cut."""
        async with asyncio.timeout(20):
            await self._lost.wait()

    def cut(self) -> None:
        """Reset every connection; later ones pass again."""
        self.lose_requests = self.lose_replies = False
        self._lost.clear()
        for writer in list(self._open):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(self._host, self._server_port)
        self._open |= {writer, server_writer}
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, server_writer, "lose_requests"))
                both.create_task(self._pass(server_reader, writer, "lose_replies"))
        finally:
            self._open -= {writer, server_writer}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: str) -> None:
        try:
            while data := await reader.read(65_536):
                if getattr(self, losing):
                    self._lost.set()
                    continue
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()
