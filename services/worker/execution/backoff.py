"""How long to wait before a runner is started again. Pure, but for the random number that is handed in."""

from collections.abc import Callable

BASE_SECONDS = 0.1
AFTER_DEATH_SECONDS = 2.0
"""A runner that came up and died: its handlers load, so the next one likely comes up, and jobs wait for it."""
AFTER_FAILURE_SECONDS = 15.0
"""A runner that did not come up: nothing suggests that the next one will."""


def restart_delay(failures: int, cap_seconds: float, chance: Callable[[], float]) -> float:
    """Seconds before the next start after so many failures in a row: none after none, then full jitter, doubling.

    chance: uniform in 0…1.
    """
    if failures == 0:
        return 0.0
    return chance() * min(cap_seconds, BASE_SECONDS * 2.0 ** min(failures, 32))
