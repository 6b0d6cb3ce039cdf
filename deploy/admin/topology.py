"""Makes the broker agree with the declared topology.

Through the administrative clients, a dozen calls at most: this is no hot path. Nothing is ever deleted.

On the real service, dead-lettering also needs the project's Pub/Sub service agent
(`service-<project number>@gcp-sa-pubsub.iam.gserviceaccount.com`) to publish to the dead-letter topics and to subscribe
to the subscriptions; Terraform grants both.
"""

from collections.abc import Sequence

import grpc.aio
from google.api_core import exceptions
from google.protobuf import duration_pb2, field_mask_pb2
from google.pubsub_v1 import PublisherAsyncClient, SubscriberAsyncClient, types
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

from shared.errors import BrokerUnavailable
from shared.messaging.topics import Subscription, Topology

CALL_SECONDS = 10.0
MUTABLE = (
    "ack_deadline_seconds",
    "message_retention_duration",
    "retry_policy",
    "dead_letter_policy",
    "expiration_policy",
)


async def apply(wanted: Topology, *, project: str, emulator: str | None, dry_run: bool = False) -> Sequence[str]:
    """Create what is missing and mend what differs; returns a line for each change (or that would be made).

    emulator: its `host:port`, or None for the real service.
    Raises BrokerUnavailable.
    """
    if emulator:
        publisher = PublisherAsyncClient(
            transport=PublisherGrpcAsyncIOTransport(channel=grpc.aio.insecure_channel(emulator))
        )
        subscriber = SubscriberAsyncClient(
            transport=SubscriberGrpcAsyncIOTransport(channel=grpc.aio.insecure_channel(emulator))
        )
    else:
        publisher, subscriber = PublisherAsyncClient(), SubscriberAsyncClient()
    changer = _Changer(publisher, subscriber, project, dry_run=dry_run)
    try:
        for topic in wanted.topics:
            await changer.topic(topic)
        for subscription in wanted.subscriptions:
            await changer.subscription(subscription)
    except (exceptions.GoogleAPICallError, exceptions.RetryError) as fault:
        raise BrokerUnavailable(f"the topology could not be applied: {type(fault).__name__}") from fault
    finally:
        await publisher.transport.close()
        await subscriber.transport.close()
    return changer.changes


class _Changer:
    def __init__(
        self, publisher: PublisherAsyncClient, subscriber: SubscriberAsyncClient, project: str, *, dry_run: bool
    ) -> None:
        self._publisher = publisher
        self._subscriber = subscriber
        self._project = project
        self._dry_run = dry_run
        self.changes: list[str] = []

    async def topic(self, id: str) -> None:
        name = f"projects/{self._project}/topics/{id}"
        try:
            await self._publisher.get_topic(topic=name, timeout=CALL_SECONDS, retry=None)
        except exceptions.NotFound:
            self.changes.append(f"create topic {id}")
            if not self._dry_run:
                await self._publisher.create_topic(name=name, timeout=CALL_SECONDS, retry=None)

    async def subscription(self, wanted: Subscription) -> None:
        request = self._declared(wanted)
        try:
            found = await self._subscriber.get_subscription(subscription=request.name, timeout=CALL_SECONDS, retry=None)
        except exceptions.NotFound:
            self.changes.append(f"create subscription {wanted.name}")
            if not self._dry_run:
                await self._subscriber.create_subscription(request=request, timeout=CALL_SECONDS, retry=None)
            return
        differing = [field for field in MUTABLE if getattr(found, field) != getattr(request, field)]
        if differing:
            self.changes.append(f"update subscription {wanted.name}: {', '.join(differing)}")
            if not self._dry_run:
                update = types.UpdateSubscriptionRequest(
                    subscription=request, update_mask=field_mask_pb2.FieldMask(paths=differing)
                )
                await self._subscriber.update_subscription(request=update, timeout=CALL_SECONDS, retry=None)

    def _declared(self, wanted: Subscription) -> types.Subscription:
        dead = wanted.dead_letter_topic
        return types.Subscription(
            name=f"projects/{self._project}/subscriptions/{wanted.name}",
            topic=f"projects/{self._project}/topics/{wanted.topic}",
            ack_deadline_seconds=wanted.ack_deadline_seconds,
            message_retention_duration=duration_pb2.Duration(seconds=wanted.retention_seconds),
            retry_policy=types.RetryPolicy(
                minimum_backoff=duration_pb2.Duration(seconds=wanted.minimum_backoff_seconds),
                maximum_backoff=duration_pb2.Duration(seconds=wanted.maximum_backoff_seconds),
            ),
            expiration_policy=types.ExpirationPolicy(),
            dead_letter_policy=dead
            and types.DeadLetterPolicy(
                dead_letter_topic=f"projects/{self._project}/topics/{dead}",
                max_delivery_attempts=wanted.max_delivery_attempts,
            ),
        )
