"""The runner's end of the connection, with a wire that only remembers: one `Finished` a run, whatever comes between."""

import asyncio

import pytest

from services.worker.execution.frames import Decoder
from services.worker.execution.messages import Cancel, Finished, Ping, Pong, Run, ToWorker, read_to_worker
from services.worker.execution.outcomes import Failed, Succeeded
from services.worker.execution.runner.server import Server
from services.worker.execution.settings import ExecutionSettings
from services.worker.execution.setup import Setup
from sluice import Handlers

handlers = Handlers()


@handlers.on("echo")
async def echo(input: int) -> int:
    return input


@handlers.on("wait")
async def wait(input: int) -> None:
    await asyncio.Event().wait()


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
        async with asyncio.timeout(5):
            return await self.messages.get()


@pytest.fixture
async def wire() -> Wire:
    return Wire()


@pytest.fixture
async def server(wire: Wire) -> Server:
    setup = Setup.of(ExecutionSettings(handlers=()), "solo", worker_pid=1, socket_fd=2, mark_fd=-1)
    definitions = {each.name: each for each in handlers}
    server = Server(definitions, memoryview(bytearray(8)).cast("Q"), setup)
    server.connection_made(wire)
    return server


def run(number: int, handler: str) -> bytes:
    return Run(number, handler, "job", 1, 5, "fence", 1_900_000_000_000, b"3").encode()


async def test_a_run_that_is_cancelled_before_its_first_step_is_finished_too(server: Server, wire: Wire) -> None:
    server.data_received(run(1, "wait") + Cancel(1).encode() + Ping(5).encode())
    assert await wire.next() == Pong(5)
    finished = await wire.next()
    assert isinstance(finished, Finished)
    assert isinstance(finished.ended, Failed)
    assert wire.messages.empty()


async def test_a_run_that_is_cancelled_in_the_middle_is_finished_once(server: Server, wire: Wire) -> None:
    server.data_received(run(1, "wait"))
    await asyncio.sleep(0)
    server.data_received(Cancel(1).encode())
    server.data_received(Cancel(1).encode())
    finished = await wire.next()
    assert isinstance(finished, Finished)
    assert wire.messages.empty()


async def test_cancelling_what_is_over_changes_nothing(server: Server, wire: Wire) -> None:
    server.data_received(run(1, "echo"))
    assert await wire.next() == Finished(1, Succeeded(b"3"))
    server.data_received(Cancel(1).encode() + Cancel(99).encode() + run(2, "echo"))
    assert await wire.next() == Finished(2, Succeeded(b"3"))
