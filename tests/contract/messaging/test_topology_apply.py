"""The administration against the real emulator: what is missing appears, what differs is corrected, nothing is lost."""

import asyncio
import dataclasses

import pytest

from deploy.admin.topology import Created, Misplaced, Updated, apply
from deploy.local.ports import choose_port
from shared.errors import BrokerUnavailable
from shared.messaging.topics import Names, Topology, topology
from tests.contract.messaging.broker_subject import PROJECT, LaneSubject, Subject, new_name, pubsub_subject


def declared() -> Topology:
    return topology(Names(new_name()), ["images"])


async def test_what_is_missing_is_created_and_then_nothing_is_left_to_do(pubsub_address: str) -> None:
    wanted = declared()
    changes = await apply(wanted, project=PROJECT, emulator=pubsub_address)
    assert {change.name for change in changes if isinstance(change, Created)} == {
        *wanted.topics,
        *(subscription.name for subscription in wanted.subscriptions),
    }
    assert await apply(wanted, project=PROJECT, emulator=pubsub_address) == ()


async def test_a_dry_run_says_the_same_and_does_nothing(pubsub_address: str) -> None:
    wanted = declared()
    foreseen = await apply(wanted, project=PROJECT, emulator=pubsub_address, dry_run=True)
    assert await apply(wanted, project=PROJECT, emulator=pubsub_address, dry_run=True) == foreseen
    assert await apply(wanted, project=PROJECT, emulator=pubsub_address) == foreseen


async def test_policies_that_differ_are_corrected(pubsub_address: str) -> None:
    wanted = declared()
    jobs, dead, *rest = wanted.subscriptions
    changed = Topology(
        wanted.topics,
        (
            dataclasses.replace(jobs, ack_deadline_seconds=20, maximum_backoff_seconds=30),
            dataclasses.replace(dead, dead_letter_topic=wanted.topics[0], retention_seconds=86_400),
            *rest,
        ),
    )
    await apply(wanted, project=PROJECT, emulator=pubsub_address)
    for topology_now in (changed, wanted):
        foreseen = await apply(topology_now, project=PROJECT, emulator=pubsub_address, dry_run=True)
        assert await apply(topology_now, project=PROJECT, emulator=pubsub_address) == foreseen
        assert foreseen == (
            Updated(jobs.name, ("ack_deadline_seconds", "retry_policy")),
            Updated(dead.name, ("message_retention_duration", "dead_letter_policy")),
        )
        assert await apply(topology_now, project=PROJECT, emulator=pubsub_address) == ()


async def test_messages_outlive_a_correction(pubsub_address: str) -> None:
    wanted = declared()
    jobs = wanted.subscriptions[0]
    await apply(wanted, project=PROJECT, emulator=pubsub_address)
    async with pubsub_subject(pubsub_address) as subject:
        lane = LaneSubject(subject, jobs.topic, jobs.name)
        await lane.publish(b"kept")
        changed = dataclasses.replace(jobs, ack_deadline_seconds=30)
        await subject.apply(Topology(wanted.topics, (changed, *wanted.subscriptions[1:])))
        [delivery] = await lane.receive()
        assert delivery.message.body == b"kept"


async def test_a_subscription_on_another_topic_is_reported_and_left_alone(pubsub_address: str) -> None:
    wanted = declared()
    jobs = wanted.subscriptions[-1]
    await apply(wanted, project=PROJECT, emulator=pubsub_address)
    elsewhere = next(topic for topic in wanted.topics if topic != jobs.topic)
    moved = Topology(wanted.topics, (dataclasses.replace(jobs, topic=elsewhere),))
    [change] = await apply(moved, project=PROJECT, emulator=pubsub_address)
    assert change == Misplaced(jobs.name, f"projects/{PROJECT}/topics/{jobs.topic}")
    assert jobs.name in str(change)


async def test_two_may_apply_at_a_time(pubsub_address: str) -> None:
    wanted = declared()
    applied = [apply(wanted, project=PROJECT, emulator=pubsub_address) for _ in range(3)]
    changes = {change for each in await asyncio.gather(*applied) for change in each}
    assert len(changes) == len(wanted.topics) + len(wanted.subscriptions)
    assert await apply(wanted, project=PROJECT, emulator=pubsub_address) == ()


async def test_a_broker_that_cannot_be_reached_is_an_outage() -> None:
    with pytest.raises(BrokerUnavailable):
        await apply(declared(), project=PROJECT, emulator=f"127.0.0.1:{choose_port()}")


async def test_the_memory_broker_takes_what_pubsub_takes(subject: Subject) -> None:
    wanted = declared()
    await subject.apply(wanted)
    lane = LaneSubject(subject, wanted.subscriptions[0].topic, wanted.subscriptions[0].name)
    await lane.publish(b"x")
    assert len(await lane.receive()) == 1
