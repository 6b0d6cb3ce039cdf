"""Pulling and settling by unary calls: the adapter behind `contract.Source`, used by the consumer.

Why unary Pull and not StreamingPull: the emulator ignores a stream's flow control, and Pull takes exactly what there is
room for. Seen on the emulator (0.8.20):

- A pull whose client goes away (cancelled, or its connection lost) lives on at the broker for as long as it would have
  waited, and swallows what comes, up to its limit, for the whole ack deadline: so went a third to two thirds of the
  messages published afterwards, and as many after a cancelled stream. A pull that is left to end strands nothing: the
  emulator answers it, empty, about a second before its deadline (0 of 4,800 messages late). Hence the deadline is
  `_ANSWER_SECONDS` longer than the wait, waits are short, and nobody cancels a pull to stop; waiting for those in
  flight costs a drain no more than their wait.
- A pull looks when it arrives and then every 50 ms. From the publish to the handle, at the median: 26 ms with one pull
  listening, 22 with two, 10 to 18 with four, 10 with eight. `return_immediately` would take 3 ms with a call every few
  milliseconds; the service has deprecated it.
- It hands out 100 messages at most, whatever the limit; the service up to 1,000.

The service does not answer early: there the client's deadline ends an idle pull, and a message assigned in its last
milliseconds comes again after the ack deadline.
"""

import asyncio
import math
import random
from collections.abc import Sequence
from typing import Any, Final

import grpc

from shared.errors import BrokerUnavailable
from shared.messaging.backoff import Draw
from shared.messaging.contract import MAX_LEASE_SECONDS, Delivery, Message
from shared.messaging.pubsub import wire
from shared.messaging.pubsub.channel import PubSubChannel, Resource
from shared.messaging.pubsub.settlement import Settlement
from shared.messaging.pubsub.status import explain

_ANSWER_SECONDS: Final = 1.0
_MAX_PULL: Final = 1_000


class PubSubSource:
    """Pulls from and settles with the channel's project. Close it before the channel."""

    def __init__(self, channel: PubSubChannel, *, draw: Draw = random.random) -> None:
        self._channel = channel
        self._draw = draw
        self._pull = channel.call(wire.PULL, wire.PullRequest, wire.PullResponse)
        self._acknowledge = channel.call(wire.ACKNOWLEDGE, wire.AcknowledgeRequest)
        self._modify = channel.call(wire.MODIFY_ACK_DEADLINE, wire.ModifyAckDeadlineRequest)
        self._subscriptions: dict[str, tuple[Resource, Settlement]] = {}

    async def pull(self, subscription: str, *, limit: int, wait_seconds: float) -> Sequence[Delivery]:
        """As `contract.Source.pull`. A broker that does not answer at all looks like an empty subscription."""
        resource, _ = self._subscriptions.get(subscription) or self._open(subscription)
        request = wire.PullRequest(subscription=resource.path, max_messages=min(limit, _MAX_PULL))
        try:
            response = await self._pull(request, timeout=wait_seconds + _ANSWER_SECONDS, metadata=resource.routing)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return ()
            raise BrokerUnavailable(explain(error, resource.path)) from None
        return [_delivery(subscription, received) for received in response.received_messages]

    async def acknowledge(self, delivery: Delivery) -> None:
        """As `contract.Source.acknowledge`. Takes up to about 10 s to fail, 20 when the request before it fails too."""
        _, settlement = self._subscriptions.get(delivery.subscription) or self._open(delivery.subscription)
        await settlement.acknowledge(delivery.ack_id)

    async def extend(self, deliveries: Sequence[Delivery], *, seconds: int) -> None:
        """As `contract.Source.extend`, with the times of `acknowledge`."""
        if not 0 <= seconds <= MAX_LEASE_SECONDS:
            raise ValueError(f"a lease of {seconds} s; 0 to {MAX_LEASE_SECONDS} can be asked for")
        by_subscription: dict[str, list[str]] = {}
        for delivery in deliveries:
            by_subscription.setdefault(delivery.subscription, []).append(delivery.ack_id)
        settlements = [
            (self._subscriptions.get(name) or self._open(name))[1].extend(ack_ids, seconds)
            for name, ack_ids in by_subscription.items()
        ]
        for result in await asyncio.gather(*settlements, return_exceptions=True):
            if result is not None:
                raise result

    async def aclose(self) -> None:
        """Fail what waits to be settled. The consumer has drained before."""
        await asyncio.gather(*(settlement.aclose() for _, settlement in self._subscriptions.values()))

    def _open(self, subscription: str) -> tuple[Resource, Settlement]:
        resource = self._channel.subscription(subscription)

        async def call(ack_ids: Sequence[str], seconds: int | None, timeout: float) -> Any:
            if seconds is None:
                request = wire.AcknowledgeRequest(subscription=resource.path, ack_ids=ack_ids)
                return await self._acknowledge(request, timeout=timeout, metadata=resource.routing)
            request = wire.ModifyAckDeadlineRequest(
                subscription=resource.path, ack_ids=ack_ids, ack_deadline_seconds=seconds
            )
            return await self._modify(request, timeout=timeout, metadata=resource.routing)

        self._subscriptions[subscription] = opened = (resource, Settlement(resource.path, call, draw=self._draw))
        return opened


def _delivery(subscription: str, received: Any) -> Delivery:
    message = received.message
    published = message.publish_time
    return Delivery(
        subscription=subscription,
        ack_id=received.ack_id,
        message_id=message.message_id,
        message=Message(message.data, dict(message.attributes)),
        published_at=published.seconds * 1_000 + math.floor(published.nanos / 1_000_000),
        delivery_attempt=received.delivery_attempt,
    )
