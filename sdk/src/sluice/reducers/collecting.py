"""`collect`: the built-in reducer that gives the values themselves."""

from typing import Annotated, Any

from pydantic import Field
from pydantic_core import to_json

from sluice.context import JobContext
from sluice.errors import OutputTooLarge
from sluice.outputs import Outputs
from sluice.reducers.fields import Selection, values

MAX_ITEMS = 100_000
MAX_BYTES = 1_048_487
"""No store takes a larger output, so there is no use in gathering more. The worker's own limit is below."""


class Share(Selection):
    limit: Annotated[int, Field(ge=1, le=MAX_ITEMS)] | None = None
    """Only the first so many values. Without it, all: they must fit into one output."""


async def collect(outputs: Outputs[Any], options: Share, job: JobContext) -> list[Any]:
    """Gathers a value of each output into a list, in the order of the batch."""
    found: list[Any] = []
    size = 0
    async for index, value in values(outputs, options, job):
        found.append(value)
        size += len(to_json(value)) + 1
        if size > MAX_BYTES:
            raise OutputTooLarge(
                f"The values up to item {index} have more than {MAX_BYTES} bytes; `field` or `limit` takes less of them"
            )
        if len(found) == options.limit:
            break
    return found
