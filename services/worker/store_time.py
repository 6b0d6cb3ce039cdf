"""What time it is by the store's clock, as far as a worker knows without asking: a lifetime is judged by it.

Every claim that is written says when the store took it; from then on this machine's monotonic clock counts on. So no
wall clock that is wrong, or set anew, makes a job expire early. Used by `claim`.
"""

from shared.clock import MILLISECONDS, Clock
from shared.storage.contract import Version


class StoreTime:
    """Never ahead of the store's clock, but for the drift of ours since it was heard; behind by what answers took."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead: float | None = None
        """Of our monotonic clock, milliseconds."""

    def heard(self, version: Version) -> None:
        """The store has just answered that it wrote this."""
        self._ahead = version.updated_at / 1_000 - self._clock.monotonic() * MILLISECONDS

    def reached(self, moment: int) -> bool:
        """Whether it is so late (milliseconds since the epoch) for certain; never, before anything was heard."""
        return self._ahead is not None and self._clock.monotonic() * MILLISECONDS + self._ahead >= moment
