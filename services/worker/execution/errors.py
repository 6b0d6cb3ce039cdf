"""What the engine raises. Whatever a handler or a runner does is an outcome instead, never an exception.

ConfigError
└── HandlersNotLoaded    the handlers that the worker was told to run cannot be loaded
SluiceError
├── UnknownHandler       the worker has no such handler
└── Garbled              the other side of a runner's connection said what no runner says
Unavailable
├── RunnersDown          no shared runner is up
└── RunnerNotStarted     a runner did not come up
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import ConfigError, SluiceError, Unavailable


@dataclass(frozen=True, slots=True)
class LoadFault:
    """One thing that is wrong with `SLUICE_HANDLERS` or what it names."""

    path: str
    """As configured, such as `acme.images:handlers`."""
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


class HandlersNotLoaded(ConfigError):
    """The handlers cannot be loaded. The message lists every path at fault and why."""

    def __init__(self, faults: Sequence[LoadFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(str(fault) for fault in self.faults))


class UnknownHandler(SluiceError):
    """This worker has no handler of that name."""


class Garbled(SluiceError):
    """Bytes that are no message, or a message that is too large. The connection is useless from there on."""


class RunnersDown(Unavailable):
    """No shared runner is up: it is starting again, or cannot."""


class RunnerNotStarted(Unavailable):
    """A runner ended, or said nothing, while it was starting. The message says which and how."""
