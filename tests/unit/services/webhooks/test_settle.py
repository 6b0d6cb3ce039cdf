"""What an attempt makes of a delivery; ten failures in a row, crashes aside."""

from dataclasses import replace

import pytest

from services.webhooks.posting import Blocked, Failed, Gone, Outcome, Succeeded
from services.webhooks.retry import SCHEDULE_SECONDS
from services.webhooks.settle import settled
from shared.models.delivery import HELD_MS, WINDOW_MS, AttemptRecord, Delivery, DeliveryState, ErrorClass

NOW = 1_750_000_000_000
DELIVERY = Delivery("dlv_1", "acme", "msg_1", "job.failed", "whk_1", "job_1", b"{}", NOW, NOW + WINDOW_MS, NOW)
ONE_OFF = replace(DELIVERY, url="https://example.com")
RECORD = AttemptRecord(NOW, 5, 500, ErrorClass.STATUS)


def after(delivery: Delivery, outcome: Outcome, now: int = NOW) -> Delivery:
    return settled(delivery, outcome, now=now, chance=0.5)


@pytest.mark.parametrize(
    ("delivery", "outcome", "state"),
    [
        (DELIVERY, Succeeded(RECORD), DeliveryState.DELIVERED),
        (DELIVERY, Blocked(RECORD), DeliveryState.BLOCKED),
        (DELIVERY, Gone(RECORD), DeliveryState.HELD),
        (ONE_OFF, Gone(RECORD), DeliveryState.EXHAUSTED),
        (DELIVERY, Failed(RECORD), DeliveryState.PENDING),
    ],
)
def test_outcomes(delivery: Delivery, outcome: Outcome, state: DeliveryState) -> None:
    found = after(delivery, outcome)
    assert (found.state, found.attempts, found.attempted) == (state, (RECORD,), 1)
    assert (found.due_at is None) is (state is not DeliveryState.PENDING)
    assert (found.finished_at is None) is (state in {DeliveryState.PENDING, DeliveryState.HELD})


def test_ten_failures_exhaust_it() -> None:
    delivery, now = DELIVERY, NOW
    for _ in SCHEDULE_SECONDS:
        delivery = after(delivery, Failed(RECORD), now)
        assert delivery.state is DeliveryState.PENDING
        assert delivery.due_at is not None
        now = delivery.due_at
    assert after(delivery, Failed(RECORD), now).state is DeliveryState.EXHAUSTED
    assert after(delivery, Failed(RECORD), now).attempted == 10


def test_long_waits_that_were_asked_for_expire_it() -> None:
    delivery, now = DELIVERY, NOW
    for _ in range(3):
        delivery = after(delivery, Failed(RECORD, 86_400.0), now)
        assert delivery.due_at == now + 86_400_000
        now += 86_400_000
    assert after(delivery, Failed(RECORD, 86_400.0), now).state is DeliveryState.EXPIRED


def test_what_is_held_is_kept_a_month_and_starts_over_when_it_is_asked_for() -> None:
    held = after(after(DELIVERY, Failed(RECORD)), Gone(RECORD), NOW + 5_000)
    assert held.expires_at == NOW + 5_000 + HELD_MS
    again = held.again(due_at=NOW + 9_000, at=NOW + 8_000)
    assert (again.state, again.step, again.attempted, again.slow) == (DeliveryState.PENDING, 0, 2, True)
    assert again.expires_at == NOW + 9_000 + WINDOW_MS
    assert again.body == DELIVERY.body


@pytest.mark.parametrize(
    ("error", "status", "nobody", "slow"),
    [
        (ErrorClass.TIMEOUT, None, True, True),
        (ErrorClass.DNS, None, True, True),
        (ErrorClass.CONNECT, None, True, False),
        (ErrorClass.STATUS, 500, True, False),
        (ErrorClass.STATUS, 404, False, False),
        (ErrorClass.REDIRECT, 302, False, False),
        (ErrorClass.TLS, None, False, False),
    ],
)
def test_what_the_breaker_counts(error: ErrorClass, status: int | None, nobody: bool, slow: bool) -> None:
    failed = Failed(AttemptRecord(NOW, 1, status, error))
    assert (failed.nobody_home, failed.timed_out) == (nobody, slow)


@pytest.mark.parametrize(("status", "pause"), [(429, True), (503, True), (500, False)])
def test_who_asks_for_a_pause(status: int, pause: bool) -> None:
    assert Failed(AttemptRecord(NOW, 1, status, ErrorClass.STATUS), 60.0).asks_for_a_pause is pause
    assert not Failed(AttemptRecord(NOW, 1, status, ErrorClass.STATUS)).asks_for_a_pause
