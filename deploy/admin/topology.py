"""Makes the broker agree with a `Topology`: creates what is missing, corrects policies that differ, deletes nothing.

Behind `sluice-admin topology apply` and `topology diff` (a dry run), which local runs, compose and deployments share.
Through the administrative clients: this is no hot path.

On the real service rights are out of its reach and belong to the infrastructure code. Dead lettering silently does
not happen until the project's Pub/Sub service agent (`service-<project number>@gcp-sa-pubsub.iam.gserviceaccount.com`)
may publish to each dead-letter topic (`roles/pubsub.publisher`) and subscribe to each subscription that has one
(`roles/pubsub.subscriber`). And who applies push must be allowed to act as the account that signs
(`roles/iam.serviceAccountUser`).
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import grpc
from google.api_core.exceptions import AlreadyExists, GoogleAPICallError, NotFound, RetryError
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1 import PublisherAsyncClient, SubscriberAsyncClient, types
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

from shared.errors import BrokerUnavailable, ConfigError
from shared.messaging.pubsub.switch import push_config
from shared.messaging.push import Pulled, PushTarget
from shared.messaging.topics import Subscription, Topology

T = TypeVar("T")

_CALL_SECONDS: Final = 20.0
_AT_A_TIME: Final = 16
_NAME: Final = re.compile(r"(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Created:
    """Was missing. kind: `topic` or `subscription`."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"create {self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Updated:
    """A subscription that differed in `policies` (names of Pub/Sub's fields)."""

    name: str
    policies: tuple[str, ...]

    def __str__(self) -> str:
        return f"update subscription {self.name}: {', '.join(self.policies)}"


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A subscription on another topic, which Pub/Sub cannot change: left alone, for somebody to delete it first."""

    name: str
    topic: str

    def __str__(self) -> str:
        return f"cannot update subscription {self.name}: it is on {self.topic}; delete it and apply again"


Change = Created | Updated | Misplaced
"""What was done, or on a dry run would be; its text is a line for the terminal."""


@dataclass(frozen=True, slots=True)
class _Admin:
    """The administration of one project's topics and subscriptions."""

    project: str
    publisher: Any
    subscriber: Any
    dry_run: bool

    def topic(self, id: str) -> str:
        return f"projects/{self.project}/topics/{id}"

    def subscription(self, id: str) -> str:
        return f"projects/{self.project}/subscriptions/{id}"


async def apply(
    topology: Topology, *, project: str, emulator: str | None = None, dry_run: bool = False
) -> tuple[Change, ...]:
    """Make the broker agree with `topology`; what was changed, or, on a dry run, what would be.

    emulator: its `host:port`; without one the real service is meant, with application default credentials.
    Safe to repeat and to run twice at a time. Raises ConfigError, before anything is done, for a topology that the
    service would refuse (the emulator takes anything), and BrokerUnavailable.
    """
    check(topology)
    async with _administration(project, emulator, dry_run=dry_run) as admin:
        topics = await _each(_apply_topic(admin, name) for name in topology.topics)
        subscriptions = await _each(_apply_subscription(admin, wanted) for wanted in topology.subscriptions)
    return tuple(change for change in (*topics, *subscriptions) if change is not None)


def check(topology: Topology) -> None:
    """Raises ConfigError naming everything that Pub/Sub would refuse (cloud.google.com/pubsub/quotas)."""
    faults = [f"{name} is not a valid name" for name in _names(topology) if not _NAME.fullmatch(name)]
    known = set(topology.topics)
    for wanted in topology.subscriptions:
        faults += [f"{wanted.name}: {fault}" for fault in _faults(wanted, known)]
    if faults:
        raise ConfigError("; ".join(faults))


def _names(topology: Topology) -> Iterable[str]:
    yield from topology.topics
    yield from (wanted.name for wanted in topology.subscriptions)


def _faults(wanted: Subscription, topics: set[str]) -> Iterable[str]:
    for topic in (wanted.topic, wanted.dead_letter_topic):
        if topic is not None and topic not in topics:
            yield f"topic {topic} is not declared"
    if not 10 <= wanted.ack_deadline_seconds <= 600:
        yield "the ack deadline is not 10 to 600 s"
    if not 0 <= wanted.minimum_backoff_seconds <= wanted.maximum_backoff_seconds <= 600:
        yield "the backoff is not within 0 to 600 s"
    if not 5 <= wanted.max_delivery_attempts <= 100:
        yield "the delivery attempts are not 5 to 100"
    if isinstance(wanted.push, PushTarget) and not wanted.push.endpoint.startswith(("https://", "http://")):
        yield "the push endpoint is no address"
    if not 600 <= wanted.retention_seconds <= 7 * 86_400:
        yield "the retention is not 10 min to 7 d"


@asynccontextmanager
async def _administration(project: str, emulator: str | None, *, dry_run: bool) -> AsyncIterator[_Admin]:
    if emulator:
        channel = grpc.aio.insecure_channel(emulator)
        publisher = PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=channel))
        subscriber = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel))
    else:
        publisher, subscriber = PublisherAsyncClient(), SubscriberAsyncClient()
    try:
        yield _Admin(project, publisher, subscriber, dry_run)
    finally:
        await publisher.transport.close()
        await subscriber.transport.close()


async def _each(work: Iterable[Awaitable[T]]) -> list[T]:
    """All of `work`, a few at a time; the first failure ends the rest."""
    gate = asyncio.Semaphore(_AT_A_TIME)

    async def gated(one: Awaitable[T]) -> T:
        async with gate:
            return await one

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(gated(one)) for one in work]
    except* BrokerUnavailable as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def _apply_topic(admin: _Admin, id: str) -> Change | None:
    path = admin.topic(id)
    if await _found(admin.publisher.get_topic(topic=path, **_ONCE)) is not None:
        return None
    if not admin.dry_run and not await _created(admin.publisher.create_topic(name=path, **_ONCE)):
        return None
    return Created("topic", id)


async def _apply_subscription(admin: _Admin, wanted: Subscription) -> Change | None:
    request = _subscription(admin, wanted)
    found = await _found(admin.subscriber.get_subscription(subscription=request.name, **_ONCE))
    if found is not None:
        return await _correct(admin, wanted, found, request)
    if not admin.dry_run and not await _created(admin.subscriber.create_subscription(request=request, **_ONCE)):
        return None
    return Created("subscription", wanted.name)


async def _correct(admin: _Admin, wanted: Subscription, found: Any, request: Any) -> Change | None:
    if found.topic != request.topic:
        return Misplaced(wanted.name, found.topic)
    differing = _differing(found, request, wanted.push)
    if not differing:
        return None
    if not admin.dry_run:
        update = types.UpdateSubscriptionRequest(subscription=request, update_mask=FieldMask(paths=differing))
        await _asked(admin.subscriber.update_subscription(request=update, **_ONCE))
    return Updated(wanted.name, tuple(differing))


_ACK_DEADLINE, _PUSH_CONFIG = "ack_deadline_seconds", "push_config"
_POLICIES: Final = (
    _ACK_DEADLINE,
    "message_retention_duration",
    "retry_policy",
    "dead_letter_policy",
    "expiration_policy",
)


def _differing(found: Any, wanted: Any, push: PushTarget | Pulled | None) -> list[str]:
    """Policies in which the two differ, by field name."""
    one, other = type(found).pb(found), type(wanted).pb(wanted)
    differing = [policy for policy in _POLICIES if getattr(one, policy) != getattr(other, policy)]
    if push is None:  # as it is; and what is pushed keeps the ack deadline that goes with it
        return [policy for policy in differing if policy != _ACK_DEADLINE or not one.push_config.push_endpoint]
    return differing if _pushes(one.push_config) == _pushes(other.push_config) else [*differing, _PUSH_CONFIG]


def _pushes(config: Any) -> tuple[str, str, str]:
    """What we say of a push configuration; the service adds attributes of its own."""
    return config.push_endpoint, config.oidc_token.service_account_email, config.oidc_token.audience


def without_backoff(wanted: Topology) -> Topology:
    """The same, with every message that was given back or whose lease lapsed coming again at once.

    For the emulator (0.8.20), which has a defect: where there is a retry policy, it sets out for a second time what
    lapsed together after its second delivery, fails over the message that is gone by then, and from that moment on
    redelivers nothing of that subscription any more. The delays that Sluice needs it asks for by itself.
    """
    at_once = (replace(each, minimum_backoff_seconds=0, maximum_backoff_seconds=0) for each in wanted.subscriptions)
    return replace(wanted, subscriptions=tuple(at_once))


def pulled(wanted: Topology) -> Topology:
    """The same, nothing of it pushed."""
    return replace(wanted, subscriptions=tuple(replace(each, push=Pulled()) for each in wanted.subscriptions))


def _retry_policy(wanted: Subscription) -> Any:
    """None is how Pub/Sub spells no backoff."""
    if not wanted.maximum_backoff_seconds:
        return None
    return types.RetryPolicy(
        minimum_backoff=Duration(seconds=wanted.minimum_backoff_seconds),
        maximum_backoff=Duration(seconds=wanted.maximum_backoff_seconds),
    )


def _subscription(admin: _Admin, wanted: Subscription) -> Any:
    dead_letters = None
    if wanted.dead_letter_topic:
        dead_letters = types.DeadLetterPolicy(
            dead_letter_topic=admin.topic(wanted.dead_letter_topic), max_delivery_attempts=wanted.max_delivery_attempts
        )
    return types.Subscription(
        name=admin.subscription(wanted.name),
        topic=admin.topic(wanted.topic),
        ack_deadline_seconds=wanted.ack_deadline_seconds,
        push_config=push_config(wanted.push or Pulled()),
        message_retention_duration=Duration(seconds=wanted.retention_seconds),
        retry_policy=_retry_policy(wanted),
        dead_letter_policy=dead_letters,
        # By default a subscription that nobody pulls from for 31 days is deleted, with all it holds. Empty: never.
        expiration_policy=types.ExpirationPolicy(),
    )


_ONCE: Final[dict[str, Any]] = {"retry": None, "timeout": _CALL_SECONDS}
"""The client library would go on for minutes; whoever applies sees the failure and applies again."""


async def _asked(call: Awaitable[T]) -> T:
    try:
        return await call
    except (NotFound, AlreadyExists):
        raise
    except (GoogleAPICallError, RetryError) as error:
        raise BrokerUnavailable(f"the broker refused or did not answer: {error.message}") from None


async def _found(call: Awaitable[T]) -> T | None:
    try:
        return await _asked(call)
    except NotFound:
        return None


async def _created(call: Awaitable[Any]) -> bool:
    """False when somebody else was faster."""
    try:
        await _asked(call)
    except AlreadyExists:
        return False
    return True
