"""The schedule on a clock that is handed in, `Retry-After` in every form, and when an endpoint is taken to be dead."""

import pytest

from services.webhooks.retry import (
    DISABLE_AFTER_MS,
    DISABLE_SPAN_MS,
    SCHEDULE_SECONDS,
    GiveUp,
    RetryAt,
    TooLate,
    after_failure,
    is_dead,
    retry_after,
)
from shared.models.delivery import WINDOW_MS
from shared.models.webhook import Health

NOW = 1_750_000_000_000
HOUR = 3_600_000


def test_ten_attempts_in_about_three_days() -> None:
    at, expires, waits = NOW, NOW + WINDOW_MS, []
    for step in range(100):
        found = after_failure(step, now=at, expires_at=expires, chance=0.5)
        if not isinstance(found, RetryAt):
            assert isinstance(found, GiveUp)
            break
        waits.append((found.due_at - at) // 1_000)
        at = found.due_at
    assert waits == [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert at - NOW < WINDOW_MS


@pytest.mark.parametrize("step", range(len(SCHEDULE_SECONDS)))
def test_waits_are_spread_by_a_fifth(step: int) -> None:
    found = [after_failure(step, now=NOW, expires_at=NOW * 2, chance=chance) for chance in (0.0, 0.5, 1.0)]
    waits = [each.due_at - NOW for each in found if isinstance(each, RetryAt)]
    assert waits == [pytest.approx(SCHEDULE_SECONDS[step] * 1_000 * share) for share in (0.8, 1.0, 1.2)]


def test_nothing_is_tried_past_its_time() -> None:
    assert after_failure(1, now=NOW, expires_at=NOW + 300_000, chance=0.5) == TooLate()
    assert after_failure(1, now=NOW, expires_at=NOW + 300_001, chance=0.5) == RetryAt(NOW + 300_000)


def test_a_longer_wait_that_is_asked_for_is_granted_and_a_shorter_one_not() -> None:
    def next(step: int) -> object:
        return after_failure(step, now=NOW, expires_at=NOW + WINDOW_MS, chance=0.5, retry_after_seconds=60.0)

    assert next(0) == RetryAt(NOW + 60_000)
    assert next(1) == RetryAt(NOW + 300_000)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("86400", 86_400.0),
        ("99999999999999999999", 86_400.0),
        ("Sun, 15 Jun 2025 15:08:20 GMT", 1_700.0),
        ("Sun, 15 Jun 2025 10:00:00 GMT", 0.0),
        ("Sun, 15 Jun 2035 10:00:00 GMT", 86_400.0),
        (None, None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("Sun, 99 Jun 2025 10:00:00 GMT", None),
    ],
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    found = retry_after(text, now=1_749_998_400_000)
    assert found == (None if seconds is None else pytest.approx(seconds, abs=1.0))


def failing(*, failures: int, since_ms: int, succeeded_ms: int | None) -> Health:
    succeeded = None if succeeded_ms is None else NOW - succeeded_ms
    return Health("whk_1", succeeded_at=succeeded, failing_since=NOW - since_ms, failures=failures, failed_at=NOW)


@pytest.mark.parametrize(
    ("health", "dead"),
    [
        (Health("whk_1"), False),
        (failing(failures=20, since_ms=DISABLE_SPAN_MS, succeeded_ms=DISABLE_AFTER_MS), True),
        (failing(failures=19, since_ms=DISABLE_SPAN_MS, succeeded_ms=DISABLE_AFTER_MS), False),
        (failing(failures=20, since_ms=DISABLE_SPAN_MS - 1, succeeded_ms=DISABLE_AFTER_MS), False),
        (failing(failures=500, since_ms=DISABLE_SPAN_MS, succeeded_ms=DISABLE_AFTER_MS - 1), False),
        (failing(failures=20, since_ms=DISABLE_SPAN_MS, succeeded_ms=None), True),
    ],
)
def test_when_an_endpoint_is_dead(health: Health, dead: bool) -> None:
    assert is_dead(health, created_at=NOW - DISABLE_AFTER_MS, now=NOW) is dead


def test_a_young_endpoint_is_not_dead() -> None:
    health = failing(failures=500, since_ms=DISABLE_SPAN_MS, succeeded_ms=None)
    assert not is_dead(health, created_at=NOW - DISABLE_AFTER_MS + 1, now=NOW)
