"""What every broker does: one suite for the memory version and the real emulator."""

import asyncio

import pytest

from shared.clock import SystemClock
from shared.errors import BrokerUnavailable, MessageRefused, PublishUnknown
from shared.messaging.contract import (
    MAX_ATTRIBUTE_BYTES,
    MAX_ATTRIBUTE_NAME_BYTES,
    MAX_ATTRIBUTES,
    MAX_MESSAGE_BYTES,
    Message,
)
from shared.messaging.topics import Topology
from tests.contract.messaging.broker_subject import PATIENT, LaneSubject, Subject, new_name, policy, receive

UNCOUNTED = {0, 1}
"""The first delivery where there are no dead letters: the service does not count it, the emulator does."""


async def test_a_message_arrives_as_it_was_published(lane: LaneSubject) -> None:
    before = SystemClock().now()
    message = Message(b"\x00body\xff", {"id": "job_1", "tenant": "acmé"})
    await lane.subject.publisher.publish(lane.topic, message, timeout_seconds=PATIENT)
    [delivery] = await lane.receive()
    assert delivery.message == message
    assert delivery.subscription == lane.subscription
    assert delivery.message_id
    assert before - 1_000 <= delivery.published_at <= SystemClock().now() + 1_000
    assert delivery.delivery_attempt in UNCOUNTED


async def test_messages_published_together_all_arrive(lane: LaneSubject) -> None:
    messages = [Message(b"%d" % number, {"id": f"job_{number}"}) for number in range(1_200)]
    await lane.subject.publisher.publish_all(lane.topic, messages, timeout_seconds=PATIENT)
    found = [delivery.message for delivery in await lane.receive(len(messages))]
    assert sorted(found, key=lambda message: int(message.body)) == messages


async def test_where_one_of_many_is_refused_none_is_sent(lane: LaneSubject) -> None:
    messages = [Message(b"good"), Message(b"", {"googa": "reserved"})]
    with pytest.raises(MessageRefused):
        await lane.subject.publisher.publish_all(lane.topic, messages, timeout_seconds=PATIENT)
    await lane.nothing_comes(for_seconds=0.5)


async def test_each_subscription_of_a_topic_gets_every_message(subject: Subject) -> None:
    topic = new_name()
    one, other = policy(topic, reader="one"), policy(topic, reader="other")
    await subject.apply(Topology((topic,), (one, other)))
    await subject.publisher.publish(topic, Message(b"told"), timeout_seconds=PATIENT)
    for reader in (one, other):
        [delivery] = await receive(subject.source, reader.name, 1)
        assert delivery.message.body == b"told"


async def test_an_acknowledged_message_never_comes_again(lane: LaneSubject) -> None:
    await lane.publish(b"once")
    [delivery] = await lane.receive()
    await lane.subject.source.extend([delivery], seconds=1)
    await lane.subject.source.acknowledge(delivery)
    await lane.nothing_comes(for_seconds=1.5)


async def test_a_message_given_back_comes_again(lane: LaneSubject) -> None:
    await lane.publish(b"again")
    [first] = await lane.receive()
    await lane.subject.source.extend([first], seconds=0)
    [second] = await lane.receive(within=5)
    assert second.message_id == first.message_id
    assert second.ack_id != first.ack_id


async def test_a_lapsed_lease_brings_the_message_again(lane: LaneSubject) -> None:
    clock = SystemClock()
    await lane.publish(b"forgotten")
    [delivery] = await lane.receive()
    extended_at = clock.monotonic()
    await lane.subject.source.extend([delivery], seconds=1)
    await lane.receive()
    assert 0.9 < clock.monotonic() - extended_at < 5


async def test_an_extended_lease_keeps_the_message(lane: LaneSubject) -> None:
    await lane.publish(b"kept")
    [delivery] = await lane.receive()
    await lane.subject.source.extend([delivery], seconds=1)
    await lane.subject.source.extend([delivery], seconds=10)
    await lane.nothing_comes(for_seconds=1.8)
    await lane.subject.source.acknowledge(delivery)


async def test_many_leases_move_at_once(lane: LaneSubject) -> None:
    await lane.publish(*(b"%d" % number for number in range(40)))
    held = await lane.receive(40)
    await lane.subject.source.extend(held, seconds=0)
    again = await lane.receive(40, within=10)
    assert {delivery.message_id for delivery in again} == {delivery.message_id for delivery in held}


async def test_the_ack_id_of_a_lapsed_lease_settles_nothing(lane: LaneSubject) -> None:
    await lane.publish(b"late")
    [stale] = await lane.receive()
    await lane.subject.source.extend([stale], seconds=0)
    [current] = await lane.receive()
    await lane.subject.source.acknowledge(stale)
    await lane.subject.source.extend([current], seconds=0)
    [again] = await lane.receive(within=5)
    assert again.message.body == b"late"


async def test_settling_twice_is_harmless(lane: LaneSubject) -> None:
    await lane.publish(b"twice")
    [delivery] = await lane.receive()
    for _ in range(2):
        await lane.subject.source.acknowledge(delivery)
    await lane.subject.source.extend([delivery], seconds=0)
    await lane.nothing_comes(for_seconds=0.5)


async def test_an_empty_subscription_keeps_a_pull_waiting(lane: LaneSubject) -> None:
    clock = SystemClock()
    before = clock.monotonic()
    assert list(await lane.subject.source.pull(lane.subscription, limit=10, wait_seconds=1)) == []
    assert 0.8 < clock.monotonic() - before < 3


async def test_a_waiting_pull_gets_what_is_published_meanwhile(lane: LaneSubject) -> None:
    pull = asyncio.create_task(lane.subject.source.pull(lane.subscription, limit=10, wait_seconds=10))
    await lane.publish(b"late")
    async with asyncio.timeout(5):
        [delivery] = await pull
    assert delivery.message.body == b"late"


async def test_a_pull_brings_no_more_than_its_limit(lane: LaneSubject) -> None:
    await lane.publish(*(b"%d" % number for number in range(10)))
    assert len(await lane.subject.source.pull(lane.subscription, limit=3, wait_seconds=5)) <= 3


async def test_deliveries_are_counted_and_the_last_goes_to_the_dead_letters(subject: Subject) -> None:
    topic, dead = new_name(), new_name()
    reader, undertaker = policy(topic, dead_letter_topic=dead), policy(dead)
    await subject.apply(Topology((topic, dead), (reader, undertaker)))
    await subject.publisher.publish(topic, Message(b"poison", {"id": "job_1"}), timeout_seconds=PATIENT)
    for attempt in range(1, reader.max_delivery_attempts + 1):
        [delivery] = await receive(subject.source, reader.name, 1)
        assert delivery.delivery_attempt == attempt
        await subject.source.extend([delivery], seconds=0)
    # The emulator buries a message only when somebody pulls for it.
    burial = asyncio.create_task(subject.source.pull(reader.name, limit=1, wait_seconds=10))
    [letter] = await receive(subject.source, undertaker.name, 1)
    assert letter.message.body == b"poison"
    assert letter.message.attributes["id"] == "job_1"
    assert letter.message.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert letter.message.attributes["CloudPubSubDeadLetterSourceSubscription"] == reader.name
    assert letter.delivery_attempt in UNCOUNTED
    burial.cancel()
    await asyncio.gather(burial, return_exceptions=True)


REFUSED = {
    "body": Message(b"x" * (MAX_MESSAGE_BYTES + 1)),
    "body and attributes": Message(b"x" * MAX_MESSAGE_BYTES, {"a": "b"}),
    "value": Message(b"x", {"a": "é" * (MAX_ATTRIBUTE_BYTES // 2 + 1)}),
    "name": Message(b"x", {"a" * (MAX_ATTRIBUTE_NAME_BYTES + 1): "b"}),
    "no name": Message(b"x", {"": "b"}),
    "reserved name": Message(b"x", {"google": "b"}),
    "count": Message(b"x", {str(number): "b" for number in range(MAX_ATTRIBUTES + 1)}),
    "not Unicode": Message(b"x", {"a": "\ud800"}),
    "nothing": Message(b""),
}


@pytest.mark.parametrize("message", REFUSED.values(), ids=REFUSED)
async def test_a_bad_message_is_refused_alone(lane: LaneSubject, message: Message) -> None:
    good = [lane.publish(b"%d" % number) for number in range(20)]
    bad = lane.subject.publisher.publish(lane.topic, message, timeout_seconds=PATIENT)
    results = await asyncio.gather(*good[:9], bad, *good[9:], return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [MessageRefused]
    arrived = await lane.receive(20)
    assert {delivery.message.body for delivery in arrived} == {b"%d" % number for number in range(20)}


async def test_the_largest_message_passes(lane: LaneSubject) -> None:
    await lane.publish(b"x" * MAX_MESSAGE_BYTES)
    [delivery] = await lane.receive()
    assert len(delivery.message.body) == MAX_MESSAGE_BYTES


async def test_a_missing_topic_is_an_outage_and_nothing_was_published(subject: Subject) -> None:
    with pytest.raises(BrokerUnavailable, match="apply the topology") as caught:
        await subject.publisher.publish(new_name(), Message(b"x"), timeout_seconds=PATIENT)
    assert not isinstance(caught.value, PublishUnknown)


async def test_a_missing_subscription_is_an_outage(subject: Subject) -> None:
    with pytest.raises(BrokerUnavailable, match="apply the topology"):
        await subject.source.pull(new_name(), limit=1, wait_seconds=1)


async def test_no_time_means_no_publish(lane: LaneSubject) -> None:
    with pytest.raises(BrokerUnavailable) as caught:
        await lane.subject.publisher.publish(lane.topic, Message(b"x"), timeout_seconds=0)
    assert not isinstance(caught.value, PublishUnknown)
    await lane.nothing_comes(for_seconds=0.3)


async def test_leases_have_bounds(lane: LaneSubject) -> None:
    await lane.publish(b"x")
    deliveries = await lane.receive()
    for seconds in (-1, 601):
        with pytest.raises(ValueError, match="lease"):
            await lane.subject.source.extend(deliveries, seconds=seconds)
