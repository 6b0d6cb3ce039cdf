"""The declared topology is complete, consistent, and within Pub/Sub's limits."""

import dataclasses

import pytest

from deploy.admin.topology import check
from shared.errors import ConfigError
from shared.messaging.topics import Names, Subscription, Topology, topology
from shared.models.job import Lane

GOOD = Subscription("topic.reader", "topic", 10, 0, 600, dead_letter_topic="dead")


def test_every_queue_has_two_lanes_with_dead_letters_that_somebody_reads() -> None:
    names = Names("acme")
    found = topology(names, ["images", "default", "images"])
    by_topic = {subscription.topic: subscription for subscription in found.subscriptions}
    for queue in ("images", "default"):
        for lane in Lane:
            jobs, dead = names.jobs(queue, lane), names.dead(queue, lane)
            assert by_topic[jobs].dead_letter_topic == dead
            assert by_topic[dead].dead_letter_topic is None
    assert names.events in found.topics
    assert len(set(found.topics)) == len(found.topics) == 9


def test_what_is_declared_is_what_pubsub_takes() -> None:
    check(topology(Names(), ["images", "a" * 60]))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"name": "goog-x"}, "not a valid name"),
        ({"name": "x"}, "not a valid name"),
        ({"name": "1abc"}, "not a valid name"),
        ({"topic": "other"}, "topic other is not declared"),
        ({"dead_letter_topic": "grave"}, "topic grave is not declared"),
        ({"ack_deadline_seconds": 9}, "ack deadline"),
        ({"ack_deadline_seconds": 601}, "ack deadline"),
        ({"minimum_backoff_seconds": 601}, "backoff"),
        ({"maximum_backoff_seconds": 601}, "backoff"),
        ({"max_delivery_attempts": 4}, "delivery attempts"),
        ({"max_delivery_attempts": 101}, "delivery attempts"),
        ({"retention_seconds": 599}, "retention"),
        ({"retention_seconds": 7 * 86_400 + 1}, "retention"),
    ],
)
def test_what_pubsub_would_refuse_is_named(change: dict[str, object], fault: str) -> None:
    check(Topology(("topic", "dead"), (GOOD,)))
    bad = dataclasses.replace(GOOD, **change)  # type: ignore[arg-type]  # one field at a time
    with pytest.raises(ConfigError, match=fault):
        check(Topology(("topic", "dead"), (bad,)))


def test_every_fault_is_named_at_once() -> None:
    bad = dataclasses.replace(GOOD, ack_deadline_seconds=1, max_delivery_attempts=1)
    with pytest.raises(ConfigError) as caught:
        check(Topology(("topic",), (bad,)))
    assert str(caught.value).count(";") == 2
