"""What goes wrong between a handler and its declared types.

    DefinitionError     the decorated function cannot be a handler; raised while its module is imported
    InvalidData
    ├── InvalidInput    the JSON does not fit the type of the handler's input
    └── InvalidOutput   what the handler returned does not fit its return type, or is not JSON

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


class InvalidOutput(InvalidData):
    """The handler returned what its return type does not allow, or what JSON cannot say. A fault of the handler."""

    what = "The output is invalid"
