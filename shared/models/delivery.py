"""A delivery: one message for one endpoint, and what became of it. One frozen value a state; transitions are methods.

    pending ──▶ sending ──▶ delivered | exhausted | expired | blocked
       ▲           │
       ├── a retry waits
       └── held ◀── its endpoint is disabled                     canceled: its endpoint was deleted

Created by the webhooks service from an event (if absent: the id is determined by message and endpoint), then written by
whoever holds the shard, under precondition; the gateway writes redeliveries. `delivered + exhausted + expired + held +
blocked + canceled` is what was accepted, once nothing is pending.
"""

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Self, TypeVar

from shared.clock import rfc3339
from shared.models.webhook import optional_time

MAX_RECORDS: Final = 25
"""Attempts that a delivery remembers: the last ones. The schedule makes ten."""
WINDOW_MS: Final = 96 * 3_600_000
"""From acceptance, or from its redelivery: then a delivery expires."""
HELD_MS: Final = 30 * 86_400_000
LOG_MS: Final = 30 * 86_400_000
"""How long a delivery can be seen after it was made."""


class DeliveryState(StrEnum):
    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    HELD = "held"
    BLOCKED = "blocked"
    CANCELED = "canceled"

    @property
    def open(self) -> bool:
        """Whether something is still to happen by itself."""
        return self in {DeliveryState.PENDING, DeliveryState.SENDING}


RECOVERABLE: Final = frozenset({DeliveryState.HELD, DeliveryState.EXHAUSTED, DeliveryState.EXPIRED})


class ErrorClass(StrEnum):
    """What went wrong with an attempt. Nothing more is told: an answer's text could be anybody's."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    """It broke after it was made."""
    RESPONSE = "response"
    """What came back is no HTTP, or too large."""
    REDIRECT = "redirect"
    STATUS = "status"
    DESTINATION_NOT_ALLOWED = "destination_not_allowed"
    INTERRUPTED = "interrupted"
    """We were; it may have arrived."""


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    at: int
    duration_ms: int
    status: int | None = None
    error: ErrorClass | None = None

    def members(self) -> dict[str, Any]:
        return {"at": self.at, "duration_ms": self.duration_ms, "status": self.status, "error": self.error}

    @classmethod
    def of(cls, members: dict[str, Any]) -> "AttemptRecord":
        error = members["error"]
        return cls(
            members["at"], members["duration_ms"], members["status"], None if error is None else ErrorClass(error)
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    """Times are milliseconds since the epoch."""

    id: str
    tenant: str
    message: str
    """The `webhook-id`."""
    type: str
    endpoint: str
    """The endpoint's id; for the one-off webhook of a job the name of its lane (see `one_off_lane`)."""
    subject: str
    """What the event is about: a job's id, a batch's, an endpoint's."""
    body: bytes
    created_at: int
    expires_at: int
    due_at: int | None
    """When something is to happen next; while it is sent, when whoever sends it is taken to have died."""
    state: DeliveryState = DeliveryState.PENDING
    url: str | None = None
    """Of a one-off webhook; else it is the endpoint's, as it is at the time."""
    step: int = 0
    """Failures on the schedule."""
    attempts: tuple[AttemptRecord, ...] = ()
    attempted: int = 0
    """Attempts ever made."""
    slow: bool = False
    """Redelivered or recovered: goes behind live traffic."""
    finished_at: int | None = None

    @property
    def forget_at(self) -> int:
        """When the document may vanish."""
        return max(self.created_at + LOG_MS, self.expires_at)

    def claimed(self, *, until: int) -> Self:
        return replace(self, state=DeliveryState.SENDING, due_at=until)

    def put_off(self, until: int) -> Self:
        """Waits for a breaker, a slot or a rate: that costs no attempt."""
        return replace(self, state=DeliveryState.PENDING, due_at=until)

    def delivered(self, record: AttemptRecord, *, at: int) -> Self:
        return _over(_tried(self, record), DeliveryState.DELIVERED, at)

    def retried(self, record: AttemptRecord, *, due_at: int) -> Self:
        return replace(_tried(self, record), state=DeliveryState.PENDING, due_at=due_at, step=self.step + 1)

    def exhausted(self, record: AttemptRecord, *, at: int) -> Self:
        return _over(replace(_tried(self, record), step=self.step + 1), DeliveryState.EXHAUSTED, at)

    def expired(self, *, at: int, record: AttemptRecord | None = None) -> Self:
        return _over(self if record is None else _tried(self, record), DeliveryState.EXPIRED, at)

    def blocked(self, record: AttemptRecord, *, at: int) -> Self:
        return _over(_tried(self, record), DeliveryState.BLOCKED, at)

    def canceled(self, *, at: int) -> Self:
        return _over(self, DeliveryState.CANCELED, at)

    def held(self, *, at: int, record: AttemptRecord | None = None) -> Self:
        """Kept for whoever enables the endpoint again and asks for it."""
        found = self if record is None else _tried(self, record)
        return replace(found, state=DeliveryState.HELD, due_at=None, expires_at=at + HELD_MS)

    def again(self, *, due_at: int, at: int) -> Self:
        """From the beginning of the schedule, behind live traffic."""
        return replace(
            self,
            state=DeliveryState.PENDING,
            due_at=due_at,
            step=0,
            slow=True,
            expires_at=due_at + WINDOW_MS,
            finished_at=None,
        )


D = TypeVar("D", bound=Delivery)


def _tried(delivery: D, record: AttemptRecord) -> D:
    records = (*delivery.attempts, record)[-MAX_RECORDS:]
    return replace(delivery, attempts=records, attempted=delivery.attempted + 1)


def _over(delivery: D, state: DeliveryState, at: int) -> D:
    return replace(delivery, state=state, due_at=None, finished_at=at)


def one_off_lane(tenant: str, url: str) -> str:
    """What stands for the endpoint of a one-off webhook: its tenant and its host share limits and a breaker."""
    origin = url.partition("://")[2].partition("/")[0].partition("?")[0].lower()
    return "url_" + hashlib.sha256(f"{tenant} {origin}".encode()).hexdigest()[:40]


def shown_delivery(delivery: Delivery) -> dict[str, Any]:
    """The delivery as the API shows it."""
    waits = delivery.state is DeliveryState.PENDING
    return {
        "id": delivery.id,
        "message_id": delivery.message,
        "type": delivery.type,
        "webhook": None if delivery.url is not None else delivery.endpoint,
        "subject": delivery.subject,
        "state": delivery.state,
        "created_at": rfc3339(delivery.created_at),
        "next_attempt_at": optional_time(delivery.due_at if waits else None),
        "finished_at": optional_time(delivery.finished_at),
        "expires_at": rfc3339(delivery.expires_at),
        "attempted": delivery.attempted,
        "attempts": [
            {"at": rfc3339(each.at), "duration_ms": each.duration_ms, "status": each.status, "error": each.error}
            for each in delivery.attempts
        ],
    }
