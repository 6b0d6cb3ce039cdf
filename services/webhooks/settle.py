"""What an attempt makes of a delivery. Pure: the delivery and the outcome in, the next state out."""

from services.webhooks.posting import Blocked, Failed, Gone, Outcome, Succeeded
from services.webhooks.retry import GiveUp, RetryAt, after_failure
from shared.models.delivery import Delivery


def settled(delivery: Delivery, outcome: Outcome, *, now: int, chance: float) -> Delivery:
    """chance: uniform in 0…1, spreads retries."""
    match outcome:
        case Succeeded(record):
            return delivery.delivered(record, at=now)
        case Blocked(record):
            return delivery.blocked(record, at=now)
        case Gone(record) if delivery.url is None:
            return delivery.held(at=now, record=record)
        case Gone(record):  # nobody can enable a one-off webhook again
            return delivery.exhausted(record, at=now)
        case Failed():
            return _failed(delivery, outcome, now, chance)


def _failed(delivery: Delivery, outcome: Failed, now: int, chance: float) -> Delivery:
    following = after_failure(
        delivery.step,
        now=now,
        expires_at=delivery.expires_at,
        chance=chance,
        retry_after_seconds=outcome.retry_after_seconds,
    )
    if isinstance(following, RetryAt):
        return delivery.retried(outcome.record, due_at=following.due_at)
    if isinstance(following, GiveUp):
        return delivery.exhausted(outcome.record, at=now)
    return delivery.expired(at=now, record=outcome.record)
