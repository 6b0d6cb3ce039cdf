"""The mark stands while a handler's step holds the loop, and never between."""

import asyncio

import pytest

from services.worker.execution.mark import Mark
from services.worker.execution.runner.stepping import marked


@pytest.fixture
def cell() -> memoryview:
    return memoryview(bytearray(8)).cast("Q")


async def test_each_step_is_marked_and_nothing_between(cell: memoryview) -> None:
    seen: list[int] = []
    turn = asyncio.Event()

    async def handler() -> str:
        seen.append(cell[0])
        await turn.wait()
        seen.append(cell[0])
        await asyncio.sleep(0)
        seen.append(cell[0])
        return "done"

    async def attempt() -> str:
        return str(await marked(handler(), cell, 7))

    task = asyncio.create_task(attempt())
    await asyncio.sleep(0)
    assert cell[0] == 0
    turn.set()
    assert await task == "done"
    assert (seen, cell[0]) == ([7, 7, 7], 0)


async def test_what_is_raised_comes_through_and_clears_the_mark(cell: memoryview) -> None:
    async def handler() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await marked(handler(), cell, 7)
    assert cell[0] == 0


async def test_a_cancellation_reaches_the_handler_and_can_be_swallowed(cell: memoryview) -> None:
    caught: list[int] = []

    async def handler() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            caught.append(cell[0])
        return "stayed"

    async def attempt() -> str:
        return str(await marked(handler(), cell, 7))

    task = asyncio.create_task(attempt())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "stayed"
    assert caught == [7]


def test_a_mark_is_seen_through_another_mapping_of_its_memory() -> None:
    ours = Mark.create()
    theirs = Mark(ours.fd)
    theirs.cell[0] = 2**63 + 1
    assert ours.read() == 2**63 + 1
    theirs.fd = -1  # it was ours to close
    theirs.close()
    ours.close()
