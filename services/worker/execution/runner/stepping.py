"""Marks whose step holds the loop, so that a loop that hangs, or a process that dies, names its suspect (see `mark`).

Tasks that a handler starts by itself are not seen: while one of them holds the loop, everybody is suspected.
"""

import types
from collections.abc import Awaitable, Generator
from typing import Any


@types.coroutine
def marked(awaitable: Awaitable[Any], cell: memoryview, number: int) -> Generator[Any, Any, Any]:
    """Awaits `awaitable` with `cell[0] == number` during each of its steps, and 0 between them."""
    steps: Any = awaitable.__await__()
    step, argument = steps.send, None
    while True:
        cell[0] = number
        try:
            awaited = step(argument)
        except StopIteration as end:
            return end.value
        finally:
            cell[0] = 0
        try:
            argument = yield awaited
            step = steps.send
        except BaseException as thrown:  # noqa: BLE001 - handed on to whom it was meant for
            step, argument = steps.throw, thrown
