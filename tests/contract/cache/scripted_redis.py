"""A server whose every answer is written by the test: for what a real one does too rarely, or too fast, to be tested.

It answers the greeting by itself; whatever else is asked waits in `asked` for the test.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import hiredis

DEADLINE: Final = 5.0
PONG: Final = b"+PONG\r\n"
OK: Final = b"+OK\r\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """One command, as it arrived."""

    command: list[bytes]
    writer: asyncio.StreamWriter
    together: int
    """How many commands came in the same chunk."""

    def answer(self, reply: bytes) -> None:
        self.writer.write(reply)


class ScriptedRedis:
    def __init__(self) -> None:
        self.asked: asyncio.Queue[Asked] = asyncio.Queue()
        self.greetings: list[list[bytes]] = []
        self.greet_with = PONG
        """The answer to PING."""
        self.connections: list[asyncio.StreamWriter] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def next(self) -> Asked:
        async with asyncio.timeout(DEADLINE):
            return await self.asked.get()

    def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def close(self) -> None:
        for writer in self.connections:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader()
        while data := await reader.read(1 << 20):
            parser.feed(data)
            commands = []
            while (command := parser.gets()) is not False:
                commands.append(command)
            for command in commands:
                if command[0] in {b"PING", b"AUTH", b"SELECT"}:
                    self.greetings.append(command)
                    writer.write(self.greet_with if command[0] == b"PING" else OK)
                else:
                    self.asked.put_nowait(Asked(command, writer, len(commands)))
        writer.close()


@asynccontextmanager
async def scripted_redis() -> AsyncIterator[ScriptedRedis]:
    scripted = ScriptedRedis()
    server = await asyncio.start_server(scripted.meet, "127.0.0.1", 0)
    scripted.port = server.sockets[0].getsockname()[1]
    try:
        yield scripted
    finally:
        server.close()
        await scripted.close()


def bulk(value: bytes | None) -> bytes:
    return b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


def array(*replies: bytes) -> bytes:
    return b"*%d\r\n" % len(replies) + b"".join(replies)
