"""How long a client asks to be kept waiting (RFC 7240, `Prefer: wait=…`), as a rival's front reads it."""

from typing import Final

LEAST_SECONDS: Final = 0.01
"""For who does not ask to wait: to some queues a time-out of 0 means none."""
MOST_SECONDS: Final = 60.0


def wait_seconds(prefer: str) -> float:
    """The wait of a `Prefer` header, within the bounds; the least where it names none, or none that is a number."""
    for preference in prefer.lower().split(","):
        name, _, value = preference.strip().partition("=")
        if name == "wait" and value.isdecimal():
            return min(max(float(value), LEAST_SECONDS), MOST_SECONDS)
    return LEAST_SECONDS
