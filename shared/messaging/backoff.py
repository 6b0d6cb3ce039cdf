"""How long to wait before asking again, and whether asking again is allowed. Used by publisher, source and consumer.

Full jitter: "Exponential Backoff And Jitter", AWS Architecture Blog. The budget: gRPC's retry throttling (gRFC A6).
"""

from collections.abc import Callable

Draw = Callable[[], float]
"""Returns a random number from 0 up to 1; `random.random` but in tests."""


def full_jitter(attempt: int, *, base_seconds: float, cap_seconds: float, draw: Draw) -> float:
    """Seconds to wait after failure `attempt` (from 0): uniform up to a ceiling that doubles with each failure."""
    ceiling = min(cap_seconds, base_seconds * 2.0 ** min(attempt, 32))
    return draw() * ceiling


class RetryBudget:
    """Lets retries through while most requests succeed, so that a struggling broker is not asked many times over.

    A failure takes a token, a success gives back a part of one; above half of `tokens`, retries are allowed.
    """

    def __init__(self, *, tokens: float = 20, regained: float = 0.5) -> None:
        self._most = self._tokens = tokens
        self._regained = regained

    def succeeded(self) -> None:
        self._tokens = min(self._most, self._tokens + self._regained)

    def failed(self) -> bool:
        """Note a failure. True where a retry is allowed."""
        self._tokens = max(0.0, self._tokens - 1)
        return self._tokens > self._most / 2
