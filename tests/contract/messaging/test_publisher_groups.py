"""What the Pub/Sub publisher makes of many messages that are published as one call."""

import asyncio

import grpc
import pytest

from shared.errors import MessageRefused, Overloaded, PublishUnknown
from shared.messaging.contract import Message
from shared.messaging.pubsub import PublishLimits, PubSubChannel, PubSubPublisher
from tests.contract.messaging.broker_subject import PATIENT
from tests.contract.messaging.publishing import numbered, outcomes, publishing
from tests.contract.messaging.scripted_pubsub import ScriptedPubSub

Code = grpc.StatusCode


def numbered_messages(count: int) -> list[Message]:
    return [Message(body) for body in numbered(count)]


async def test_what_is_published_together_travels_together(broker: ScriptedPubSub, publisher: PubSubPublisher) -> None:
    await publisher.publish_all("t", numbered_messages(1_000), timeout_seconds=PATIENT)
    assert sorted(map(len, broker.batches)) == [1_000]


async def test_one_that_the_broker_refuses_fails_its_group_and_no_other_message(
    broker: ScriptedPubSub, publisher: PubSubPublisher
) -> None:
    broker.answer = lambda request: (
        Code.INVALID_ARGUMENT if any(each.data == b"3" for each in request.messages) else None
    )
    beside = publishing(publisher, [b"beside"])
    with pytest.raises(MessageRefused):
        await publisher.publish_all("t", numbered_messages(5), timeout_seconds=PATIENT)
    assert await outcomes(beside) == [None]
    accepted = [body for batch in broker.batches for body in batch]
    assert {b"0", b"1", b"2", b"4", b"beside"} <= set(accepted)


async def test_a_group_that_is_not_confirmed_in_time_is_in_doubt(
    broker: ScriptedPubSub, publisher: PubSubPublisher
) -> None:
    broker.hold()
    with pytest.raises(PublishUnknown):
        await publisher.publish_all("t", numbered_messages(3), timeout_seconds=0.3)
    broker.release()
    await publisher.publish_all("t", numbered_messages(3), timeout_seconds=PATIENT)


async def test_a_cancelled_group_leaves_room_for_others(broker: ScriptedPubSub, channel: PubSubChannel) -> None:
    publisher = PubSubPublisher(channel, limits=PublishLimits(max_messages=4))
    broker.hold()
    group = asyncio.create_task(publisher.publish_all("t", numbered_messages(4), timeout_seconds=PATIENT))
    await broker.arrived(1)
    with pytest.raises(Overloaded):
        await publisher.publish_all("t", numbered_messages(1), timeout_seconds=PATIENT)
    group.cancel()
    await asyncio.gather(group, return_exceptions=True)
    broker.release()
    await publisher.publish_all("t", numbered_messages(4), timeout_seconds=PATIENT)
    await publisher.aclose(deadline_seconds=0)
