"""`sum`, `mean`, `min`, `max`, `count`: built-in reducers that keep a few numbers."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from sluice.context import JobContext
from sluice.outcomes import Reject
from sluice.outputs import Outputs
from sluice.reducers.exact import ExactSum
from sluice.reducers.fields import Pointer, Selection, numbers, present

_TOO_LARGE = "The result is larger than any number that JSON's readers hold"


class Presence(BaseModel):
    """What is counted."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    field: Pointer | None = None
    """JSON Pointer: only outputs that have something there, and not null, count. Without it, all do."""


async def total(outputs: Outputs[Any], options: Selection, job: JobContext) -> int | float:
    """Adds up a number of each output, exactly: rounded once, at the end, and not at all if all are whole numbers."""
    found = await _summed(outputs, options, job)
    try:
        return found.total()
    except OverflowError:
        raise Reject(_TOO_LARGE) from None


async def mean(outputs: Outputs[Any], options: Selection, job: JobContext) -> float | None:
    """The mean of a number of each output, exact but for one rounding at the end; null where there is none."""
    found = await _summed(outputs, options, job)
    try:
        return found.mean()
    except OverflowError:
        raise Reject(_TOO_LARGE) from None


async def smallest(outputs: Outputs[Any], options: Selection, job: JobContext) -> int | float | None:
    """The smallest of a number of each output; null where there is none."""
    least: int | float | None = None
    async for number in numbers(outputs, options, job):
        least = number if least is None else min(least, number)
    return least


async def largest(outputs: Outputs[Any], options: Selection, job: JobContext) -> int | float | None:
    """The largest of a number of each output; null where there is none."""
    most: int | float | None = None
    async for number in numbers(outputs, options, job):
        most = number if most is None else max(most, number)
    return most


async def count(outputs: Outputs[Any], options: Presence, job: JobContext) -> int:
    """Counts the items that have succeeded, or those whose output has something at `field`."""
    if options.field is None:
        return len(outputs)
    found = 0
    async for _, value in present(outputs, options.field, job):
        found += value is not None
    return found


async def _summed(outputs: Outputs[Any], options: Selection, job: JobContext) -> ExactSum:
    found = ExactSum()
    async for number in numbers(outputs, options, job):
        found.add(number)
    return found
