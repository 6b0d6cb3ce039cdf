"""Every topic and subscription of Sluice, declared once: names, policies, who writes, who reads, why twice is harmless.

| topic | writer → reader | harmless twice because |
|---|---|---|
| `{prefix}-jobs-{queue}-{lane}` | gateway, scheduler, aggregator → worker | the claim is by precondition and attempt |
| `{prefix}-jobs-{queue}-{lane}-dead` | Pub/Sub, after 100 deliveries → worker | the same claim |
| `{prefix}-events` | worker, gateway, aggregator → aggregator, webhooks | event ids are stable, consumers merge |

`sluice-admin topology apply` makes the broker agree; local runs, compose and deployments all go through it.
"""

import functools
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from shared.messaging.push import REQUEST_SECONDS, Pulled, PushPlan, PushTarget
from shared.models.job import Lane

RETENTION_SECONDS = 7 * 24 * 3_600
"""The longest that Pub/Sub keeps an unacknowledged message; the life of a queued job fits in it."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription's policy. The name is the topic's with the reader's behind it."""

    name: str
    topic: str
    ack_deadline_seconds: int
    minimum_backoff_seconds: int
    maximum_backoff_seconds: int
    dead_letter_topic: str | None = None
    max_delivery_attempts: int = 100
    retention_seconds: int = RETENTION_SECONDS
    push: PushTarget | Pulled | None = None
    """Where its messages go; None leaves that as it is."""


@dataclass(frozen=True, slots=True)
class Topology:
    """What must exist, for the queues that are in use."""

    topics: tuple[str, ...]
    subscriptions: tuple[Subscription, ...]


_LANES = tuple(f"-{lane}" for lane in Lane)


@functools.cache
def _jobs_topic(prefix: str, queue: str, lane: Lane) -> str:
    return f"{prefix}-jobs-{queue}-{lane}"


@dataclass(frozen=True, slots=True)
class Names:
    """Names under a prefix, so that several systems can share a project."""

    prefix: str = "sluice"

    @property
    def events(self) -> str:
        return f"{self.prefix}-events"

    def jobs(self, queue: str, lane: Lane) -> str:
        return _jobs_topic(self.prefix, queue, lane)

    def is_jobs(self, topic: str) -> bool:
        """Whether `topic` carries jobs of some queue, dead letters aside."""
        return topic.startswith(f"{self.prefix}-jobs-") and topic.endswith(_LANES)

    def dead(self, queue: str, lane: Lane) -> str:
        return f"{self.jobs(queue, lane)}-dead"

    def reader(self, topic: str, service: str) -> str:
        """The subscription through which `service` reads `topic`."""
        return f"{topic}.{service}"


WORKER = "worker"
WEBHOOKS = "webhooks"
AGGREGATOR = "aggregator"


def topology(
    names: Names, queues: Iterable[str], *, push: PushPlan | None = None, paused: Collection[str] = ()
) -> Topology:
    """Everything that must exist for `queues`.

    push: which of them are pushed, and where to; None leaves all as they are. paused: those that push nowhere for now.
    """
    topics, subscriptions = [names.events], [_events(names, AGGREGATOR), _events(names, WEBHOOKS)]
    for queue in sorted(set(queues)):
        for lane in Lane:
            jobs, dead = names.jobs(queue, lane), names.dead(queue, lane)
            topics += [jobs, dead]
            jobs_subscription = _jobs(names, jobs, dead)
            if push is not None and push.covers(queue):
                target = Pulled() if queue in paused else push.target(queue, lane)
                jobs_subscription = pushed(jobs_subscription, target)
            subscriptions += [jobs_subscription, _dead(names, dead)]
    return Topology(tuple(topics), tuple(subscriptions))


def _events(names: Names, reader: str) -> Subscription:
    """No dead letters: what cannot be handled now is tried until it can, and what never can is acknowledged."""
    return Subscription(
        name=names.reader(names.events, reader),
        topic=names.events,
        ack_deadline_seconds=10,
        minimum_backoff_seconds=1,
        maximum_backoff_seconds=60,
    )


def _jobs(names: Names, topic: str, dead: str) -> Subscription:
    """A short ack deadline, renewed by the consumer while it works: a killed worker's messages come back within it."""
    return Subscription(
        name=names.reader(topic, WORKER),
        topic=topic,
        ack_deadline_seconds=10,
        minimum_backoff_seconds=1,
        maximum_backoff_seconds=60,
        dead_letter_topic=dead,
    )


def pushed(subscription: Subscription, target: PushTarget | Pulled) -> Subscription:
    """The same, pushed. A worker has the ack deadline to answer: it cannot ask for more, as one that pulls can."""
    return replace(subscription, ack_deadline_seconds=REQUEST_SECONDS, push=target)


def _dead(names: Names, topic: str) -> Subscription:
    """No dead letters of dead letters: ending a job as undeliverable is tried until it works."""
    return Subscription(
        name=names.reader(topic, WORKER),
        topic=topic,
        ack_deadline_seconds=60,
        minimum_backoff_seconds=10,
        maximum_backoff_seconds=600,
    )
