"""The Pub/Sub adapters against a broker that is not there, does not answer, freezes, or loses everything."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from deploy.admin.topology import apply
from deploy.local.backends import Backend
from deploy.local.ports import choose_port
from deploy.local.process import ChildProcess
from shared.clock import SystemClock
from shared.errors import BrokerUnavailable, PublishUnknown
from shared.messaging.consumer import Consumer, Pace
from shared.messaging.contract import Acknowledge, Delivery, Message, Verdict
from shared.messaging.lanes import Lane
from shared.messaging.pubsub import PubSubPublisher, PubSubSource
from shared.messaging.topics import Topology
from tests.contract.messaging.broker_subject import PATIENT, PROJECT, connected, new_name, policy

SOON = 0.3
"""A deadline, in seconds, that is to be kept."""
SLACK = 0.7


@contextlib.contextmanager
def mute_listener() -> Iterator[str]:
    """Takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(params=["nobody listens", "nobody answers"])
def unreachable(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "nobody listens":
        yield f"127.0.0.1:{choose_port()}"
    else:
        with mute_listener() as address:
            yield address


@pytest.fixture
async def emulator(own_pubsub: Backend) -> AsyncIterator[ChildProcess]:
    process = own_pubsub.process
    assert process is not None
    yield process
    if process.running:
        await process.thaw()


async def test_publishing_to_an_unreachable_broker_fails_in_time_and_without_doubt(unreachable: str) -> None:
    clock = SystemClock()
    async with connected(unreachable) as (publisher, _):
        before = clock.monotonic()
        with pytest.raises(BrokerUnavailable) as caught:
            await publisher.publish("t", Message(b"x"), timeout_seconds=SOON)
        assert not isinstance(caught.value, PublishUnknown)
        assert clock.monotonic() - before < SOON + SLACK


async def test_pulling_from_an_unreachable_broker_brings_nothing(unreachable: str) -> None:
    async with connected(unreachable) as (_, source):
        with contextlib.suppress(BrokerUnavailable):
            assert list(await source.pull("s", limit=1, wait_seconds=SOON)) == []


async def test_publishing_to_a_frozen_broker_ends_in_doubt_and_works_again_once_it_thaws(
    own_pubsub: Backend, emulator: ChildProcess
) -> None:
    topic = await _new_topic(own_pubsub.address)
    async with connected(own_pubsub.address) as (publisher, source):
        await publisher.publish(topic, Message(b"before"), timeout_seconds=PATIENT)
        await emulator.freeze()
        assert await _seconds_until_doubt(publisher, topic) < SOON + SLACK
        await emulator.thaw()
        await publisher.publish(topic, Message(b"after"), timeout_seconds=PATIENT)
        bodies = await _bodies(source, topic, until=b"after")
        assert {b"before", b"after"} <= bodies <= {b"before", b"doubtful", b"after"}


async def test_a_broker_that_lost_its_topics_says_what_to_do(own_pubsub: Backend, emulator: ChildProcess) -> None:
    topic = await _new_topic(own_pubsub.address)
    async with connected(own_pubsub.address) as (publisher, _):
        await publisher.publish(topic, Message(b"before"), timeout_seconds=PATIENT)
        await emulator.restart()
        with pytest.raises(BrokerUnavailable, match="apply the topology"):
            await publisher.publish(topic, Message(b"x"), timeout_seconds=PATIENT)


async def test_a_consumer_finds_its_broker_again(own_pubsub: Backend, emulator: ChildProcess) -> None:
    topic = await _new_topic(own_pubsub.address)
    handled: asyncio.Queue[bytes] = asyncio.Queue()

    async def handle(delivery: Delivery) -> Verdict:
        handled.put_nowait(delivery.message.body)
        return Acknowledge()

    async with connected(own_pubsub.address) as (publisher, source), asyncio.TaskGroup() as group:
        pace = Pace(wait_seconds=1, backoff_seconds=0.05, backoff_cap_seconds=0.2)
        lane = Lane(policy(topic).name)
        consumer = Consumer(source, [lane], handle, capacity=8, clock=SystemClock(), pace=pace)
        group.create_task(consumer.run())
        for body in (b"before", b"after"):
            await _until_published(publisher, topic, body)
            async with asyncio.timeout(PATIENT):
                assert await handled.get() == body
            if body == b"before":
                await emulator.restart()
                await _new_topic(own_pubsub.address, topic)
        assert consumer.counters[lane.subscription].pull_failures > 0
        await consumer.drain(deadline_seconds=5)


async def test_a_drain_ends_in_time_while_the_broker_is_frozen(own_pubsub: Backend, emulator: ChildProcess) -> None:
    topic, clock = await _new_topic(own_pubsub.address), SystemClock()
    started = asyncio.Event()

    async def handle(_: Delivery) -> Verdict:
        started.set()
        await asyncio.get_running_loop().create_future()  # for ever
        return Acknowledge()

    async with connected(own_pubsub.address) as (publisher, source), asyncio.TaskGroup() as group:
        consumer = Consumer(source, [Lane(policy(topic).name)], handle, capacity=8, clock=clock)
        group.create_task(consumer.run())
        await publisher.publish(topic, Message(b"x"), timeout_seconds=PATIENT)
        async with asyncio.timeout(PATIENT):
            await started.wait()
        await emulator.freeze()
        before = clock.monotonic()
        await consumer.drain(deadline_seconds=1)
        assert clock.monotonic() - before < 3


async def _new_topic(address: str, topic: str | None = None) -> str:
    name = topic or new_name()
    await apply(Topology((name,), (policy(name),)), project=PROJECT, emulator=address)
    return name


async def _seconds_until_doubt(publisher: PubSubPublisher, topic: str) -> float:
    """How long the first publish took that ended in doubt; a process that is told to freeze does so in a moment."""
    clock = SystemClock()
    async with asyncio.timeout(PATIENT):
        while True:
            before = clock.monotonic()
            try:
                await publisher.publish(topic, Message(b"doubtful"), timeout_seconds=SOON)
            except PublishUnknown:
                return clock.monotonic() - before


async def _until_published(publisher: PubSubPublisher, topic: str, body: bytes) -> None:
    """Publish as a client does that asks again."""
    async with asyncio.timeout(PATIENT):
        while True:
            with contextlib.suppress(BrokerUnavailable):
                return await publisher.publish(topic, Message(body), timeout_seconds=PATIENT)


async def _bodies(source: PubSubSource, topic: str, *, until: bytes) -> set[bytes]:
    found: set[bytes] = set()
    async with asyncio.timeout(PATIENT):
        while until not in found:
            deliveries = await source.pull(policy(topic).name, limit=10, wait_seconds=2)
            found |= {delivery.message.body for delivery in deliveries}
    return found
