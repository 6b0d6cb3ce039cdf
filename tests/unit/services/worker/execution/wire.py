"""A runner's end of the connection, served by a wire that only remembers what was written."""

import asyncio

from services.worker.execution.frames import Decoder
from services.worker.execution.messages import ToWorker, read_to_worker
from services.worker.execution.runner.server import Server
from services.worker.execution.settings import ExecutionSettings
from services.worker.execution.setup import Kind, Setup
from sluice import Handlers


class Wire(asyncio.Transport):
    """What was written, as messages."""

    def __init__(self) -> None:
        super().__init__()
        self._decoder = Decoder(1_000_000)
        self.messages: asyncio.Queue[ToWorker] = asyncio.Queue()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        for frame in self._decoder.feed(bytes(data)):
            self.messages.put_nowait(read_to_worker(frame))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    async def next(self) -> ToWorker:
        async with asyncio.timeout(10):
            return await self.messages.get()


def served(handlers: Handlers, kind: Kind, wire: Wire) -> Server:
    """A runner of these handlers that writes to `wire`. Made in the running loop."""
    setup = Setup.of(ExecutionSettings(handlers=()), kind, worker_pid=1, socket_fd=2, mark_fd=-1)
    server = Server({each.name: each for each in handlers}, memoryview(bytearray(8)).cast("Q"), setup)
    server.connection_made(wire)
    return server
