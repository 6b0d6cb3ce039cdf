"""A reducer's runner asks for pages, two at once at most, and lets go of them when the run is over."""

import asyncio

import pytest

from services.worker.execution.messages import Asked, Cancel, Finished, Given, Run
from services.worker.execution.outcomes import Failed, Succeeded
from services.worker.execution.runner.outputs import MAX_ASKED
from services.worker.execution.runner.server import Server
from services.worker.execution.task import Counts, ItemOutput
from sluice import Handlers, Outputs
from tests.unit.services.worker.execution.wire import Wire, served

handlers = Handlers()


@handlers.reduce("total")
async def total(outputs: Outputs[int]) -> int:
    return sum([output async for output in outputs])


@handlers.reduce("total.thread", run_in="thread")
def total_in_thread(outputs: Outputs[int]) -> int:
    return sum(outputs)


@handlers.reduce("many")
async def many(outputs: Outputs[int]) -> int:
    """So many passes at once."""
    passes = [aiter(outputs) for _ in range(MAX_ASKED + 2)]
    return sum(await asyncio.gather(*[anext(each) for each in passes]))


@pytest.fixture
async def wire() -> Wire:
    return Wire()


@pytest.fixture
async def server(wire: Wire) -> Server:
    return served(handlers, "shared", wire)


def run(handler: str, outputs: int) -> bytes:
    counts = Counts(outputs, outputs, 0, 0, 0)
    return Run(1, handler, "job", 1, 5, "fence", 1_900_000_000_000, b"{}", counts).encode()


def given(ask: int, *indexes: int) -> bytes:
    return Given(1, ask, [ItemOutput(index, f"job_{index}", b"%d" % index) for index in indexes]).encode()


@pytest.mark.parametrize("handler", ["total", "total.thread"])
async def test_pages_of_any_size_are_asked_for_in_turn(server: Server, wire: Wire, handler: str) -> None:
    server.data_received(run(handler, 5))
    assert await wire.next() == Asked(1, 1, 0)
    server.data_received(given(1, 0, 1))
    assert await wire.next() == Asked(1, 2, 2)
    server.data_received(given(2, 2, 3, 4))
    assert await wire.next() == Finished(1, Succeeded(b"10"))


async def test_no_more_than_two_are_asked_for_at_once(server: Server, wire: Wire) -> None:
    server.data_received(run("many", 1))
    asked = [await wire.next() for _ in range(MAX_ASKED)]
    await asyncio.sleep(0)
    assert asked == [Asked(1, number + 1, 0) for number in range(MAX_ASKED)]
    assert wire.messages.empty()
    server.data_received(given(1, 7) + given(2, 7))
    assert [await wire.next(), await wire.next()] == [Asked(1, 3, 0), Asked(1, 4, 0)]
    server.data_received(given(3, 7) + given(4, 7))
    assert await wire.next() == Finished(1, Succeeded(b"28"))


@pytest.mark.parametrize("handler", ["total", "total.thread"])
async def test_a_run_that_is_cancelled_waits_for_nothing(server: Server, wire: Wire, handler: str) -> None:
    server.data_received(run(handler, 5))
    assert await wire.next() == Asked(1, 1, 0)
    server.data_received(Cancel(1).encode())
    finished = await wire.next()
    assert isinstance(finished, Finished)
    assert isinstance(finished.ended, Failed)
    server.data_received(given(1, 0))
    assert wire.messages.empty()


async def test_an_answer_to_nothing_changes_nothing(server: Server, wire: Wire) -> None:
    server.data_received(run("total", 1))
    assert await wire.next() == Asked(1, 1, 0)
    server.data_received(given(9, 3) + given(1, 0))
    assert await wire.next() == Finished(1, Succeeded(b"0"))
