"""How long a client asks to be kept waiting (RFC 7240, `Prefer: wait=…`), as a rival reads it, and in which parts."""

from typing import Final

LEAST_SECONDS: Final = 0.01
"""For who does not ask to wait: to some queues a time-out of 0 means none."""
MOST_SECONDS: Final = 60.0
STEP_SECONDS: Final = 1.0
"""Of a front that is pushed to: it looks, and then listens. What is told in between is lost, so it looks again."""


def wait_seconds(prefer: str) -> float:
    """The wait of a `Prefer` header, within the bounds; the least where it names none, or none that is a number."""
    for preference in prefer.lower().split(","):
        name, _, value = preference.strip().partition("=")
        if name == "wait" and value.isdecimal():
            return min(max(float(value), LEAST_SECONDS), MOST_SECONDS)
    return LEAST_SECONDS


def steps(seconds: float) -> list[float]:
    """A wait in parts of STEP_SECONDS, the last as long as what is left."""
    whole, rest = divmod(seconds, STEP_SECONDS)
    return [STEP_SECONDS] * int(whole) + ([rest] if rest else [])
