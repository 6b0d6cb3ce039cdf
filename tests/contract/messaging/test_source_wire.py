"""What the Pub/Sub source makes of pulls, and how it groups and repeats what settles messages."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any

import grpc
import pytest

from shared.clock import SystemClock
from shared.errors import BrokerUnavailable
from shared.messaging.contract import Delivery, Message
from shared.messaging.pubsub import PubSubChannel, PubSubSource, wire
from tests.contract.messaging.broker_subject import PATIENT
from tests.contract.messaging.scripted_pubsub import ScriptedPubSub, succeed

Code = grpc.StatusCode


@pytest.fixture
async def broker() -> AsyncIterator[ScriptedPubSub]:
    async with ScriptedPubSub() as broker:
        yield broker


@pytest.fixture
async def source(broker: ScriptedPubSub) -> AsyncIterator[PubSubSource]:
    channel = PubSubChannel.open("p", emulator=broker.address)
    async with asyncio.timeout(PATIENT):
        await channel.until_ready()
    source = PubSubSource(channel, draw=lambda: 0.01)
    yield source
    await source.aclose()
    await channel.aclose()


def delivered(ack_id: str, subscription: str = "s") -> Delivery:
    return Delivery(subscription, ack_id, "1", Message(b"x"), 0, 0)


def numbered(count: int) -> list[str]:
    return [f"ack-{number}" for number in range(count)]


async def outcomes(calls: Sequence[Awaitable[None]]) -> list[type[BaseException] | None]:
    async with asyncio.timeout(PATIENT):
        results = await asyncio.gather(*calls, return_exceptions=True)
    return [None if result is None else type(result) for result in results]


def bad(*ack_ids: str) -> Any:
    """Refuses every request that has one of `ack_ids` in it."""
    return lambda request: Code.INVALID_ARGUMENT if set(ack_ids) & set(request.ack_ids) else None


async def test_a_pull_names_its_subscription_and_has_a_second_to_answer(
    broker: ScriptedPubSub, source: PubSubSource
) -> None:
    assert list(await source.pull("s", limit=5_000, wait_seconds=2)) == []
    [request] = broker.requests
    assert request.subscription == "projects/p/subscriptions/s"
    assert request.max_messages == 1_000
    assert broker.metadata[0]["x-goog-request-params"] == "subscription=projects/p/subscriptions/s"
    assert 2.5 < broker.seconds_left[0] < 3.1


async def test_a_pull_that_nobody_answers_is_an_empty_one(broker: ScriptedPubSub, source: PubSubSource) -> None:
    clock = SystemClock()
    broker.hold()
    before = clock.monotonic()
    assert list(await source.pull("s", limit=1, wait_seconds=0.1)) == []
    assert clock.monotonic() - before < 3


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.NOT_FOUND, Code.PERMISSION_DENIED, Code.RESOURCE_EXHAUSTED])
async def test_a_pull_that_fails_is_an_outage(
    broker: ScriptedPubSub, source: PubSubSource, code: grpc.StatusCode
) -> None:
    broker.answer = lambda request: code
    with pytest.raises(BrokerUnavailable):
        await source.pull("s", limit=1, wait_seconds=1)
    assert len(broker.requests) == 1


async def test_acknowledgements_of_one_moment_travel_together(broker: ScriptedPubSub, source: PubSubSource) -> None:
    assert await outcomes([source.acknowledge(delivered(ack_id)) for ack_id in numbered(50)]) == [None] * 50
    [request] = broker.requests
    assert isinstance(request, wire.AcknowledgeRequest)
    assert list(request.ack_ids) == numbered(50)


async def test_acknowledgements_wait_for_the_request_in_flight_and_subscriptions_for_nobody(
    broker: ScriptedPubSub, source: PubSubSource
) -> None:
    broker.hold()
    calls = [asyncio.create_task(source.acknowledge(delivered("first")))]
    await broker.arrived(1)
    calls += [asyncio.create_task(source.acknowledge(delivered(ack_id))) for ack_id in numbered(3)]
    calls += [asyncio.create_task(source.acknowledge(delivered("other", "s2")))]
    await broker.arrived(2)
    broker.release()
    assert await outcomes(calls) == [None] * 5
    assert [list(request.ack_ids) for request in broker.requests] == [["first"], ["other"], numbered(3)]


@pytest.mark.parametrize(("count", "length", "requests"), [(2_500, 10, 3), (900, 1_000, 2)])
async def test_no_request_is_larger_than_pubsub_takes(
    broker: ScriptedPubSub, source: PubSubSource, count: int, length: int, requests: int
) -> None:
    ack_ids = [f"{number:0{length}}" for number in range(count)]
    await outcomes([source.acknowledge(delivered(ack_id)) for ack_id in ack_ids])
    assert len(broker.requests) == requests
    assert max(len(request.ack_ids) for request in broker.requests) <= 1_000
    assert max(request.ByteSize() for request in broker.requests) <= 512 * 1_024
    assert [ack_id for request in broker.requests for ack_id in request.ack_ids] == ack_ids


async def test_leases_travel_together_by_their_length(broker: ScriptedPubSub, source: PubSubSource) -> None:
    renewed = [delivered(ack_id) for ack_id in numbered(20)]
    calls = [source.extend(renewed, seconds=10), *(source.extend([delivered(f"d{n}")], seconds=n) for n in (0, 5, 5))]
    assert await outcomes(calls) == [None] * 4
    found = {request.ack_deadline_seconds: list(request.ack_ids) for request in broker.requests}
    assert found == {10: numbered(20), 0: ["d0"], 5: ["d5"]}


async def test_the_later_of_two_leases_wins(broker: ScriptedPubSub, source: PubSubSource) -> None:
    broker.hold()
    calls = [asyncio.create_task(source.extend([delivered("a")], seconds=10))]
    await broker.arrived(1)
    calls += [asyncio.create_task(source.extend([delivered("a")], seconds=seconds)) for seconds in (10, 0)]
    await asyncio.sleep(0)
    broker.release()
    assert await outcomes(calls) == [None] * 3
    assert [request.ack_deadline_seconds for request in broker.requests] == [10, 0]
    assert broker.most_under_way == 1


async def test_an_invalid_ack_id_fails_alone(broker: ScriptedPubSub, source: PubSubSource) -> None:
    broker.answer = bad("ack-3")
    results = await outcomes([source.acknowledge(delivered(ack_id)) for ack_id in numbered(20)])
    assert results == [BrokerUnavailable if number == 3 else None for number in range(20)]


async def test_an_invalid_ack_id_does_not_keep_the_leases_of_others_from_moving(
    broker: ScriptedPubSub, source: PubSubSource
) -> None:
    broker.answer = bad("ack-3")
    [result] = await outcomes([source.extend([delivered(ack_id) for ack_id in numbered(20)], seconds=10)])
    assert result is BrokerUnavailable
    moved = {ack_id for request in broker.requests if broker.answer(request) is None for ack_id in request.ack_ids}
    assert moved == set(numbered(20)) - {"ack-3"}


async def test_settling_is_tried_once_more(broker: ScriptedPubSub, source: PubSubSource) -> None:
    left = [Code.UNAVAILABLE]
    broker.answer = lambda request: left.pop() if left else None
    assert await outcomes([source.acknowledge(delivered("a"))]) == [None]
    assert len(broker.requests) == 2


async def test_settling_that_fails_on_is_given_up_and_the_next_works_again(
    broker: ScriptedPubSub, source: PubSubSource
) -> None:
    broker.answer = lambda request: Code.UNAVAILABLE
    assert await outcomes([source.acknowledge(delivered("a"))]) == [BrokerUnavailable]
    assert len(broker.requests) == 2
    broker.answer = succeed
    assert await outcomes([source.acknowledge(delivered("b"))]) == [None]


async def test_a_cancelled_caller_leaves_its_neighbours_alone(broker: ScriptedPubSub, source: PubSubSource) -> None:
    broker.hold()
    calls = [asyncio.create_task(source.acknowledge(delivered(ack_id))) for ack_id in numbered(3)]
    await broker.arrived(1)
    calls[0].cancel()
    broker.release()
    assert await outcomes(calls[1:]) == [None, None]


async def test_closing_fails_what_waits(broker: ScriptedPubSub, source: PubSubSource) -> None:
    broker.hold()
    calls = [asyncio.create_task(source.acknowledge(delivered("sent")))]
    await broker.arrived(1)
    calls += [asyncio.create_task(source.acknowledge(delivered("waiting")))]
    await asyncio.sleep(0)
    await source.aclose()
    assert await outcomes(calls) == [BrokerUnavailable, BrokerUnavailable]
