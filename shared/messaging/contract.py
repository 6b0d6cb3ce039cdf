"""The Protocols of messaging, each cut to one consumer's need, and the values they speak in.

`Publisher` is used by whoever accepts or tells; `Source` by the consumer (`shared/messaging/consumer.py`), which turns
deliveries into calls of a `Handle` and its verdicts into acknowledgements. Batching is inside the adapters.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from typing import Protocol

from shared.messaging.push import Pulled, PushTarget
from shared.values import value

MAX_MESSAGE_BYTES = 9_000_000
"""Body and attributes. Pub/Sub takes requests of 10 MB; the emulator hangs for a minute on 12 MiB. We refuse before."""
MAX_ATTRIBUTES = 100
MAX_ATTRIBUTE_NAME_BYTES = 256
MAX_ATTRIBUTE_BYTES = 1_024
"""Of a value. The service refuses what exceeds any of these; the emulator does not check."""
MAX_LEASE_SECONDS = 600


@value(frozen=True, slots=True)
class Message:
    body: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)


class Publisher(Protocol):
    async def publish(self, topic: str, message: Message, *, timeout_seconds: float) -> None:
        """Return once the broker has acknowledged the message.

        topic: the id, without the project.
        Raises MessageRefused; BrokerUnavailable when it was not taken; PublishUnknown when it may have been; Overloaded
        when too much is waiting to be published. Nothing goes on after `timeout_seconds`.
        """
        ...


class BulkPublisher(Publisher, Protocol):
    async def publish_all(self, topic: str, messages: Sequence[Message], *, timeout_seconds: float) -> None:
        """Return once the broker has acknowledged each of the messages.

        Raises as `publish` what befell any of them: others may have been published then. Where one is refused before
        it is sent, none is. Nothing goes on after `timeout_seconds`.
        """
        ...


@value(frozen=True, slots=True)
class Delivery:
    """One message as handed to us; the lease on it is `ack_id`."""

    subscription: str
    ack_id: str
    message_id: str
    message: Message
    published_at: int
    delivery_attempt: int
    """As counted by the broker, from 1; 0 where it does not count (the service does for dead letters only)."""


@value(frozen=True, slots=True)
class Acknowledge:
    """The message is done with."""


@value(frozen=True, slots=True)
class Redeliver:
    """The message is to come again, after about `after_seconds` (0…600; the broker's own backoff may come on top)."""

    after_seconds: float = 0


Verdict = Acknowledge | Redeliver
Handle = Callable[[Delivery], Awaitable[Verdict]]


class Source(Protocol):
    """Pulls and settles, a subscription named in each call."""

    async def pull(self, subscription: str, *, limit: int, wait_seconds: float) -> Sequence[Delivery]:
        """Up to `limit` messages, waiting up to `wait_seconds` for the first; empty if none came.

        Raises BrokerUnavailable.
        """
        ...

    async def acknowledge(self, delivery: Delivery) -> None:
        """Settle. Best effort, for the broker may redeliver all the same. Raises BrokerUnavailable."""
        ...

    async def extend(self, deliveries: Sequence[Delivery], *, seconds: int) -> None:
        """Move the end of each lease to `seconds` from now (0…600; 0 gives the messages back).

        Later calls win over earlier ones. Raises BrokerUnavailable when it did not happen for some of them.
        """
        ...


class PushSwitch(Protocol):
    """Says where a subscription's messages go. Used by the scheduler, which so pauses queues that are pushed."""

    async def point(self, subscription: str, target: PushTarget | Pulled) -> None:
        """Push to `target` from now on, or nowhere. Harmless twice. Raises BrokerUnavailable."""
        ...
