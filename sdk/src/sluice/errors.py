"""What goes wrong between a handler and its declared types.

    DefinitionError     the decorated function cannot be a handler; raised while its module is imported
    InvalidData
    ├── InvalidInput    the JSON does not fit the type of the handler's input
    │   └── UnfitOutput the output of a batch's item does not fit what its reducer takes
    └── InvalidOutput   what the handler returned does not fit its return type, or is not JSON
    OutputTooLarge      what a reducer gathers is more than a job can return
    AttemptOver         what was waited for will not come, because nobody wants the attempt's result any more

What an author raises on purpose (`Retry`, `Reject`) is in `outcomes`. `InvalidInput` and `InvalidOutput` name places
and reasons, never the values found there: their text may be logged and shown to whoever asks for the job. They survive
pickling, because rendering may happen in a child process.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

MAX_FAULTS = 32
"""Faults listed of one value. A long list of bad items says nothing more by its hundredth."""


class DefinitionError(Exception):
    """The function, or how it is registered, cannot be a handler. The message names both and says what to change."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One place that does not fit."""

    pointer: str
    """JSON Pointer (RFC 6901) to the place; empty for the whole value."""
    reason: str


class InvalidData(Exception):
    """A value does not fit its declared type. Only the two kinds below are raised."""

    what: ClassVar[str] = "The value is invalid"

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.faults)

    def __str__(self) -> str:
        listed = [f"{fault.pointer}: {fault.reason}" if fault.pointer else fault.reason for fault in self.faults]
        return f"{self.what}: " + "; ".join(listed)


class InvalidInput(InvalidData):
    """The JSON does not fit the handler's input type. Trying again changes nothing."""

    what = "The input is invalid"


class UnfitOutput(InvalidInput):
    """The output of an item of a batch is not what the reducer takes. Trying again changes nothing.

    index: the item's place in the batch.
    """

    def __init__(self, index: int, faults: Iterable[Fault]) -> None:
        super().__init__(faults)
        self.index = index
        self.args = (index, self.faults)

    def __str__(self) -> str:
        what = f"The output of item {self.index} is not what the reducer takes"
        return super().__str__().replace(self.what, what, 1)


class InvalidOutput(InvalidData):
    """The handler returned what its return type does not allow, or what JSON cannot say. A fault of the handler."""

    what = "The output is invalid"


class OutputTooLarge(Exception):
    """What there is to return has more bytes than any job's output may have. Trying again changes nothing."""


class AttemptOver(Exception):
    """Nobody wants the result of the attempt any more, so what it waits for does not come."""
