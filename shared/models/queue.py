"""A queue as operators handle it: paused, or not.

Written by the gateway's queue routes, read by gateways and by workers, which stop taking from a paused queue. Harmless
twice: pausing what is paused changes nothing.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueControl:
    """What an operator has said of a queue. A queue of which nothing was said runs."""

    name: str
    paused_at: int | None = None
    """Milliseconds since the epoch; None: it runs."""

    @property
    def paused(self) -> bool:
        return self.paused_at is not None
