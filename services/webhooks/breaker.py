"""What one endpoint may be asked now: its breaker and its rate. Pure; time is monotonic seconds, handed in."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

OPENS_AFTER: Final = 5
"""Failures in a row that mean that nobody is at home: time-outs, broken connections, 5xx."""
FIRST_PAUSE_SECONDS: Final = 30.0
LONGEST_PAUSE_SECONDS: Final = 600.0


class Circuit(Enum):
    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"
    """One attempt is under way, and nothing else may start."""


@dataclass(slots=True)
class Breaker:
    state: Circuit = Circuit.CLOSED
    _failures: int = 0
    _pause: float = FIRST_PAUSE_SECONDS
    _until: float = 0.0

    def next_at(self, now: float) -> float | None:
        """The first moment at which an attempt may start; None while a probe decides."""
        if self.state is Circuit.PROBING:
            return None
        return self._until if self.state is Circuit.OPEN else now

    def began(self, now: float) -> bool:
        """An attempt starts; whether it is the probe."""
        probe = self.state is Circuit.OPEN and now >= self._until
        if probe:
            self.state = Circuit.PROBING
        return probe

    def answered(self) -> None:
        """Somebody is at home, whatever they said."""
        self.state, self._failures, self._pause = Circuit.CLOSED, 0, FIRST_PAUSE_SECONDS

    def failed(self, now: float) -> None:
        """Nobody is at home."""
        self._failures += 1
        if self.state is Circuit.PROBING:
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        elif self.state is Circuit.OPEN or self._failures < OPENS_AFTER:
            return  # one that had started before it opened
        self.state, self._until = Circuit.OPEN, now + self._pause

    def undecided(self, now: float) -> None:
        """A probe ended without saying anything about the endpoint: let another one try."""
        if self.state is Circuit.PROBING:
            self.state, self._until = Circuit.OPEN, now


@dataclass(slots=True)
class Pace:
    """A token bucket."""

    rate: float
    burst: int
    _tokens: float = field(init=False)
    _at: float = 0.0

    def __post_init__(self) -> None:
        self._tokens = float(self.burst)

    def next_at(self, now: float) -> float:
        """The first moment at which there is a token."""
        self._fill(now)
        return now if self._tokens >= 1 else now + (1 - self._tokens) / self.rate

    def take(self, now: float) -> None:
        self._fill(now)
        self._tokens -= 1

    def _fill(self, now: float) -> None:
        self._tokens = min(float(self.burst), self._tokens + max(0.0, now - self._at) * self.rate)
        self._at = now
