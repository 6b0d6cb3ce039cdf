"""A Pub/Sub emulator for the contract tests of messaging, and the subjects of the suite.

`pubsub_address` is shared and may be somebody's own (PUBSUB_EMULATOR_HOST): tests on it use names of their own.
`own_pubsub` belongs to the tests of one file, which may freeze and kill it: one at a time, and none leaves it so.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from deploy.local.backends import PUBSUB, Backend, Backends
from deploy.local.find import this_machine
from deploy.local.guard import Guard
from shared.messaging.pubsub import PubSubChannel, PubSubPublisher
from tests.contract.messaging.broker_subject import PATIENT, LaneSubject, Subject, memory_subject, pubsub_subject
from tests.contract.messaging.scripted_pubsub import ScriptedPubSub

DRAWN_LOW = 0.01
"""What the publisher draws for its pauses: so low that they are short."""


@pytest.fixture(scope="session")
def pubsub_address(backends: Backends) -> str:
    return backends.pubsub.address


@pytest.fixture(scope="module")
async def own_pubsub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    async with Guard() as guard:
        backend = Backend(PUBSUB, "", tmp_path_factory.mktemp("pubsub"), guard)
        await backend.plan(this_machine())
        await backend.start()
        try:
            yield backend
        finally:
            await backend.stop()


@pytest.fixture(params=["memory", "pubsub"])
async def subject(request: pytest.FixtureRequest, pubsub_address: str) -> AsyncIterator[Subject]:
    if request.param == "memory":
        async with memory_subject() as subject:
            yield subject
    else:
        async with pubsub_subject(pubsub_address) as subject:
            yield subject


@pytest.fixture
async def lane(subject: Subject) -> LaneSubject:
    return await subject.new_lane()


@pytest.fixture
async def broker() -> AsyncIterator[ScriptedPubSub]:
    async with ScriptedPubSub() as broker:
        yield broker


@pytest.fixture
async def channel(broker: ScriptedPubSub) -> AsyncIterator[PubSubChannel]:
    channel = PubSubChannel.open("p", emulator=broker.address)
    async with asyncio.timeout(PATIENT):
        await channel.until_ready()
    yield channel
    await channel.aclose()


@pytest.fixture
async def publisher(channel: PubSubChannel) -> AsyncIterator[PubSubPublisher]:
    publisher = PubSubPublisher(channel, draw=lambda: DRAWN_LOW)
    yield publisher
    await publisher.aclose(deadline_seconds=0)
