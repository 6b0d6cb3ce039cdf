"""When to try again, and when trying again would only add to the trouble. Used by everything that calls Firestore.

Pauses are drawn from the whole range up to an exponentially growing bound ("full jitter", AWS Architecture Blog, 2015).
The budget caps retries as a share of what succeeds (as Finagle's does): a store that fails everything is asked once
by each caller, not many times. One budget serves a database, reads and writes together.
"""

import random
from collections.abc import Callable
from typing import Final

BASE_SECONDS: Final = 0.02
MAX_SECONDS: Final = 1.0

BUDGET: Final = 2_000
"""Retries from a standing start: one full request of writes for each of the few in flight, and again."""
EARNED: Final = 0.2
"""Retries that each success pays for."""


class Retries:
    """jitter: returns numbers of [0, 1); `random.random` but in tests."""

    def __init__(self, jitter: Callable[[], float] = random.random, *, budget: float = BUDGET) -> None:
        self._jitter = jitter
        self._most = budget
        self._left = budget

    def pause(self, attempts: int) -> float:
        """Seconds to wait after `attempts` (from 1) tries."""
        bound: float = min(MAX_SECONDS, BASE_SECONDS * 2.0 ** min(attempts, 16))
        return bound * self._jitter()

    def withdraw(self) -> bool:
        """Whether one more retry is allowed; if so it is counted."""
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def succeeded(self) -> None:
        """Count a success."""
        self._left = min(self._most, self._left + EARNED)
