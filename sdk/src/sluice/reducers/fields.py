"""Which value of each output a built-in reducer takes, and what becomes of outputs that have none.

An output without the value ends the reduction with an error that names the item, the first such one, since outputs
come in order; or is left out, where the request says so. Errors name places, never values.
"""

import math
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from sluice.context import JobContext
from sluice.outcomes import Reject
from sluice.outputs import Item, Outputs

MAX_POINTER = 1_000
PROGRESS_EVERY = 256
"""Outputs between two reports of progress."""

Pointer = Annotated[str, Field(pattern="^(/([^/~]|~[01])*)*$", max_length=MAX_POINTER)]
"""JSON Pointer (RFC 6901)."""

_MISSING = object()


class Selection(BaseModel):
    """Which value of each output is taken."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    field: Pointer = ""
    """JSON Pointer to the value in each output; empty for the whole output."""
    skip_missing: bool = False
    """Leave out outputs that have nothing, or null, there. Otherwise the first such one fails the reduction."""


async def present(outputs: Outputs[Any], pointer: str, job: JobContext) -> AsyncIterator[tuple[int, Any]]:
    """The index of each output and what is there, or None."""
    steps = _steps(pointer)
    done, total = 0, len(outputs)
    async for item in outputs.items():
        found = _found(item, steps)
        yield item.index, None if found is _MISSING else found
        done += 1
        if done % PROGRESS_EVERY == 0 or done == total:
            job.progress(done, total)


async def values(outputs: Outputs[Any], selection: Selection, job: JobContext) -> AsyncIterator[tuple[int, Any]]:
    """The index and the value of each output. Reject where one has none, unless such are left out."""
    async for index, value in present(outputs, selection.field, job):
        if value is not None:
            yield index, value
        elif not selection.skip_missing:
            raise Reject(
                f"The output of item {index} has nothing at {_place(selection.field)}; "
                "`skip_missing` leaves such outputs out"
            )


async def numbers(outputs: Outputs[Any], selection: Selection, job: JobContext) -> AsyncIterator[int | float]:
    """The values, which must be numbers: Reject where one is not."""
    async for index, value in values(outputs, selection, job):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Reject(f"The output of item {index} has no number at {_place(selection.field)}, but {_kind(value)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise Reject(f"The number at {_place(selection.field)} of the output of item {index} is too large")
        yield value


def _steps(pointer: str) -> Sequence[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _found(item: Item[Any], steps: Sequence[str]) -> Any:
    value = item.output
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step, _MISSING)
        elif isinstance(value, list) and _is_index(step) and int(step) < len(value):
            value = value[int(step)]
        else:
            return _MISSING
    return value


def _is_index(step: str) -> bool:
    """Digits, and no zero in front of others."""
    return step.isascii() and step.isdigit() and (step == "0" or step[0] != "0")


def _place(pointer: str) -> str:
    return pointer or "its root"


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
