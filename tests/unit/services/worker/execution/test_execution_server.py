"""The runner's end of the connection, with a wire that only remembers: one `Finished` a run, whatever comes between."""

import asyncio

import pytest

from services.worker.execution.messages import Cancel, Finished, Ping, Pong, Run
from services.worker.execution.outcomes import Failed, Succeeded
from services.worker.execution.runner.server import Server
from sluice import Handlers
from tests.unit.services.worker.execution.wire import Wire, served

handlers = Handlers()


@handlers.on("echo")
async def echo(input: int) -> int:
    return input


@handlers.on("wait")
async def wait(input: int) -> None:
    await asyncio.Event().wait()


@pytest.fixture
async def wire() -> Wire:
    return Wire()


@pytest.fixture
async def server(wire: Wire) -> Server:
    return served(handlers, "solo", wire)


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
