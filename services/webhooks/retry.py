"""When a delivery that failed is tried again, and when it is given up. Pure.

The schedule is that of the guide: ten attempts in about three days, each wait spread by ±20 % so that what failed
together does not come back together.
"""

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from shared.clock import MILLISECONDS
from shared.models.webhook import Health

SCHEDULE_SECONDS: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER: Final = 0.2
MAX_RETRY_AFTER_SECONDS: Final = 86_400

DISABLE_AFTER_MS: Final = 5 * 86_400_000
"""Without success."""
DISABLE_FAILURES: Final = 20
DISABLE_SPAN_MS: Final = 12 * 3_600_000
"""That the failures stretch over: a busy endpoint is not disabled for a bad minute."""


@dataclass(frozen=True, slots=True)
class RetryAt:
    due_at: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The schedule is used up."""


@dataclass(frozen=True, slots=True)
class TooLate:
    """The next attempt would be past the delivery's time."""


Next = RetryAt | GiveUp | TooLate


def after_failure(
    step: int, *, now: int, expires_at: int, chance: float, retry_after_seconds: float | None = None
) -> Next:
    """step: failures before this one. chance: uniform in 0…1. Times are milliseconds since the epoch."""
    if step >= len(SCHEDULE_SECONDS):
        return GiveUp()
    delay = SCHEDULE_SECONDS[step] * (1 + JITTER * (2 * chance - 1))
    due_at = now + round(max(delay, retry_after_seconds or 0.0) * MILLISECONDS)
    return TooLate() if due_at >= expires_at else RetryAt(due_at)


def retry_after(text: str | None, *, now: int) -> float | None:
    """Seconds that a `Retry-After` (RFC 9110: seconds, or a date) asks for, at most a day; None for anything else."""
    if text is None or not text.isascii():
        return None
    text = text.strip()
    if text.isdecimal():
        return float(min(int(text[:9]), MAX_RETRY_AFTER_SECONDS))
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    seconds = at.timestamp() - now / MILLISECONDS
    return min(max(0.0, seconds), float(MAX_RETRY_AFTER_SECONDS))


def is_dead(health: Health, *, created_at: int, now: int) -> bool:
    """Whether an endpoint with this health has failed for so long that it is to be disabled.

    created_at: when its owner last touched it; whoever enables it again gives it new days.
    """
    if health.failing_since is None or health.failures < DISABLE_FAILURES:
        return False
    alive_at = max(created_at, health.succeeded_at or 0)
    return now - alive_at >= DISABLE_AFTER_MS and now - health.failing_since >= DISABLE_SPAN_MS
