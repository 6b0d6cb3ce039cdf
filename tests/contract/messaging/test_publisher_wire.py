"""What the Pub/Sub publisher makes of batches, refusals, lost answers and its callers' deadlines."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from deploy.local.ports import choose_port
from shared.errors import BrokerUnavailable, MessageRefused, Overloaded, PublishUnknown
from shared.messaging.contract import Message
from shared.messaging.pubsub import PublishLimits, PubSubChannel, PubSubPublisher
from tests.contract.messaging.broker_subject import PATIENT
from tests.contract.messaging.publishing import numbered, outcomes, publishing
from tests.contract.messaging.scripted_pubsub import ScriptedPubSub, succeed

Code = grpc.StatusCode


@pytest.fixture
async def orderly(channel: PubSubChannel) -> AsyncIterator[PubSubPublisher]:
    """A publisher with one request at a time, so that what is added meanwhile waits for sure."""
    publisher = PubSubPublisher(channel, limits=PublishLimits(batches_in_flight=1))
    yield publisher
    await publisher.aclose(deadline_seconds=0)


def failing(*codes: grpc.StatusCode) -> Any:
    """Fails with each of `codes` in turn, then succeeds."""
    left = list(codes)
    return lambda request: left.pop(0) if left else None


async def test_what_is_published_at_one_moment_travels_together(
    broker: ScriptedPubSub, publisher: PubSubPublisher
) -> None:
    assert await outcomes(publishing(publisher, numbered(50))) == [None] * 50
    assert broker.batches == [numbered(50)]


async def test_what_is_published_while_a_request_is_in_flight_goes_in_the_next(
    broker: ScriptedPubSub, publisher: PubSubPublisher
) -> None:
    broker.hold()
    first = publishing(publisher, [b"first"])
    await broker.arrived(1)
    others = publishing(publisher, numbered(30))
    await asyncio.sleep(0)
    broker.release()
    assert await outcomes(first + others) == [None] * 31
    assert broker.batches == [[b"first"], numbered(30)]


async def test_a_slow_request_does_not_hold_up_what_comes_behind_it(
    broker: ScriptedPubSub, publisher: PubSubPublisher
) -> None:
    broker.hold()
    tasks = publishing(publisher, [b"slow"])
    async with asyncio.timeout(PATIENT):
        while len(broker.requests) < 2:
            tasks += publishing(publisher, [b"next"])
            await asyncio.sleep(0.02)
    broker.release()
    assert set(await outcomes(tasks)) == {None}


async def test_a_request_names_its_topic_for_routing_and_ends_with_its_callers(
    broker: ScriptedPubSub, publisher: PubSubPublisher
) -> None:
    await publisher.publish("t", Message(b"x", {"id": "job_1"}), timeout_seconds=3)
    [request] = broker.requests
    assert request.topic == "projects/p/topics/t"
    assert dict(request.messages[0].attributes) == {"id": "job_1"}
    assert broker.metadata[0]["x-goog-request-params"] == "topic=projects/p/topics/t"
    assert 2 < broker.seconds_left[0] < 3.1  # gRPC rounds it up on the wire


async def test_topics_do_not_wait_for_each_other(broker: ScriptedPubSub, publisher: PubSubPublisher) -> None:
    broker.hold()
    tasks = [
        asyncio.create_task(publisher.publish(topic, Message(b"x"), timeout_seconds=PATIENT)) for topic in ("a", "b")
    ]
    await broker.arrived(2)
    broker.release()
    assert await outcomes(tasks) == [None, None]


async def test_no_request_has_more_than_a_thousand_messages(broker: ScriptedPubSub, publisher: PubSubPublisher) -> None:
    broker.hold()
    tasks = publishing(publisher, numbered(2_500))
    await broker.arrived(3)
    broker.release()
    assert await outcomes(tasks) == [None] * 2_500
    assert [len(batch) for batch in broker.batches] == [1_000, 1_000, 500]
    assert broker.most_under_way == 3


async def test_no_request_is_larger_than_pubsub_takes(broker: ScriptedPubSub, publisher: PubSubPublisher) -> None:
    bodies = [b"x" * 3_000_000, b"y" * 3_000_000, b"z" * 8_500_000, b"w" * 1_000_000]
    assert await outcomes(publishing(publisher, bodies)) == [None] * 4
    assert max(sum(map(len, batch)) for batch in broker.batches) <= 9_000_000
    assert sorted(body[:1] for batch in broker.batches for body in batch) == [b"w", b"x", b"y", b"z"]


@pytest.mark.parametrize(
    "code", [Code.UNAVAILABLE, Code.ABORTED, Code.INTERNAL, Code.RESOURCE_EXHAUSTED, Code.UNKNOWN, Code.CANCELLED]
)
async def test_passing_failures_are_tried_again(
    broker: ScriptedPubSub, publisher: PubSubPublisher, code: grpc.StatusCode
) -> None:
    broker.answer = failing(code, code)
    assert await outcomes(publishing(publisher, [b"x"])) == [None]
    assert broker.batches == [[b"x"]] * 3


@pytest.mark.parametrize("code", [Code.NOT_FOUND, Code.PERMISSION_DENIED, Code.UNAUTHENTICATED])
async def test_what_cannot_pass_fails_at_once(
    broker: ScriptedPubSub, publisher: PubSubPublisher, code: grpc.StatusCode
) -> None:
    broker.answer = lambda request: code
    assert await outcomes(publishing(publisher, [b"x"])) == [BrokerUnavailable]
    assert len(broker.requests) == 1


async def test_a_broker_that_comes_up_within_the_deadline_gets_the_message() -> None:
    port = choose_port()
    channel = PubSubChannel.open("p", emulator=f"127.0.0.1:{port}")
    publisher = PubSubPublisher(channel)
    tasks = publishing(publisher, [b"early"])
    hasty = publishing(publisher, [b"hasty"], seconds=0.1)
    assert await outcomes(hasty) == [BrokerUnavailable]
    async with ScriptedPubSub(port) as broker:
        assert await outcomes(tasks) == [None]
        assert broker.batches == [[b"early"]]
        await publisher.aclose(deadline_seconds=1)
        await channel.aclose()


async def test_bad_messages_are_singled_out_and_their_neighbours_published(
    broker: ScriptedPubSub, publisher: PubSubPublisher
) -> None:
    bad = {b"7", b"63"}
    broker.answer = lambda request: (
        Code.INVALID_ARGUMENT if any(message.data in bad for message in request.messages) else None
    )
    tasks = publishing(publisher, numbered(100))
    await outcomes(tasks)
    refused = {task.get_name().encode() for task in tasks if isinstance(task.exception(), MessageRefused)}
    assert refused == bad
    assert all(task.exception() is None for task in tasks if task.get_name().encode() not in bad)
    assert len(broker.requests) < 30


async def test_a_broker_that_fails_on_is_asked_a_bounded_number_of_times(
    broker: ScriptedPubSub, publisher: PubSubPublisher
) -> None:
    broker.answer = lambda request: Code.UNAVAILABLE
    assert await outcomes(publishing(publisher, [b"x"])) == [PublishUnknown]
    assert len(broker.requests) <= 11
    asked = len(broker.requests)
    assert await outcomes(publishing(publisher, [b"y"])) == [PublishUnknown]
    assert len(broker.requests) == asked + 1


async def test_the_retry_budget_grows_back_with_successes(broker: ScriptedPubSub, publisher: PubSubPublisher) -> None:
    broker.answer = lambda request: Code.UNAVAILABLE
    await outcomes(publishing(publisher, [b"x"]))
    broker.answer = succeed
    for body in numbered(40):
        await publisher.publish("t", Message(body), timeout_seconds=PATIENT)
    broker.answer = failing(Code.UNAVAILABLE)
    assert await outcomes(publishing(publisher, [b"y"])) == [None]


async def test_a_caller_whose_message_is_in_flight_at_its_deadline_hears_unknown(
    broker: ScriptedPubSub, publisher: PubSubPublisher
) -> None:
    broker.hold()
    assert await outcomes(publishing(publisher, [b"x"], seconds=0.2)) == [PublishUnknown]


async def test_a_caller_whose_message_was_never_sent_hears_unavailable_and_it_is_never_sent(
    broker: ScriptedPubSub, orderly: PubSubPublisher
) -> None:
    broker.hold()
    first = publishing(orderly, [b"first"])
    await broker.arrived(1)
    assert await outcomes(publishing(orderly, [b"waiting"], seconds=0.2)) == [BrokerUnavailable]
    last = publishing(orderly, [b"last"])
    broker.release()
    assert await outcomes(first + last) == [None, None]
    assert broker.batches == [[b"first"], [b"last"]]


async def test_a_refusal_that_nothing_came_of_leaves_no_doubt(
    broker: ScriptedPubSub, publisher: PubSubPublisher
) -> None:
    broker.answer = lambda request: Code.RESOURCE_EXHAUSTED
    assert await outcomes(publishing(publisher, [b"x"])) == [BrokerUnavailable]


async def test_a_lost_answer_leaves_doubt_whatever_comes_after(
    broker: ScriptedPubSub, publisher: PubSubPublisher
) -> None:
    broker.answer = failing(Code.UNAVAILABLE, *[Code.RESOURCE_EXHAUSTED] * 50)
    assert await outcomes(publishing(publisher, [b"x"])) == [PublishUnknown]


async def test_a_short_deadline_does_not_cut_its_neighbours(broker: ScriptedPubSub, publisher: PubSubPublisher) -> None:
    broker.hold()
    patient = publishing(publisher, [b"patient"])
    hasty = publishing(publisher, [b"hasty"], seconds=0.2)
    assert await outcomes(hasty) == [PublishUnknown]
    broker.release()
    assert await outcomes(patient) == [None]
    assert broker.batches == [[b"patient", b"hasty"]]


async def test_what_has_no_caller_any_more_is_not_sent_again(
    broker: ScriptedPubSub, publisher: PubSubPublisher
) -> None:
    broker.hold()
    patient = publishing(publisher, [b"patient"])
    hasty = publishing(publisher, [b"hasty"], seconds=0.2)
    await outcomes(hasty)
    broker.answer = failing(Code.UNAVAILABLE)
    broker.release()
    assert await outcomes(patient) == [None]
    assert broker.batches == [[b"patient", b"hasty"], [b"patient"]]


async def test_a_cancelled_caller_leaves_its_neighbours_alone(
    broker: ScriptedPubSub, publisher: PubSubPublisher
) -> None:
    broker.hold()
    in_flight = publishing(publisher, [b"a", b"b"])
    await broker.arrived(1)
    waiting = publishing(publisher, [b"c", b"d"])
    await asyncio.sleep(0)
    in_flight[0].cancel()
    waiting[0].cancel()
    await asyncio.sleep(0)
    broker.release()
    assert await outcomes(in_flight[1:] + waiting[1:]) == [None, None]
    assert broker.batches == [[b"a", b"b"], [b"d"]]


@pytest.mark.parametrize("limits", [PublishLimits(max_messages=2), PublishLimits(max_bytes=1_000)])
async def test_more_than_may_wait_is_refused_until_there_is_room(
    broker: ScriptedPubSub, channel: PubSubChannel, limits: PublishLimits
) -> None:
    publisher = PubSubPublisher(channel, limits=limits)
    broker.hold()
    waiting = publishing(publisher, [b"a" * 400, b"b" * 400])
    await broker.arrived(1)
    assert await outcomes(publishing(publisher, [b"c" * 400])) == [Overloaded]
    broker.release()
    assert await outcomes(waiting) == [None, None]
    assert await outcomes(publishing(publisher, [b"c" * 400])) == [None]
    await publisher.aclose(deadline_seconds=1)


async def test_closing_sends_what_waits(broker: ScriptedPubSub, publisher: PubSubPublisher) -> None:
    broker.hold()
    tasks = publishing(publisher, [b"first"])
    await broker.arrived(1)
    tasks += publishing(publisher, numbered(3))
    await asyncio.sleep(0)
    closing = asyncio.create_task(publisher.aclose(deadline_seconds=PATIENT))
    await asyncio.sleep(0)
    broker.release()
    assert await outcomes(tasks) == [None] * 4
    await closing
    assert await outcomes(publishing(publisher, [b"late"])) == [BrokerUnavailable]


async def test_closing_fails_what_is_left_at_its_deadline(broker: ScriptedPubSub, orderly: PubSubPublisher) -> None:
    broker.hold()
    sent = publishing(orderly, [b"sent"])
    await broker.arrived(1)
    waiting = publishing(orderly, [b"waiting"])
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await orderly.aclose(deadline_seconds=0.1)
    assert await outcomes(sent + waiting) == [PublishUnknown, BrokerUnavailable]
