"""What a PushSwitch promises, on the memory broker and on the emulator, and how the administration agrees with it."""

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.pubsub_v1 import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

from deploy.admin.topology import Updated, apply, pulled
from shared.clock import SystemClock
from shared.errors import BrokerUnavailable, ConfigError
from shared.messaging.contract import PushSwitch
from shared.messaging.memory import MemoryBroker, MemoryPushSwitch, Outage
from shared.messaging.pubsub import PubSubChannel, PubSubPushSwitch
from shared.messaging.push import Pulled, PushPlan, PushTarget
from shared.messaging.topics import Names, Subscription, Topology, topology
from tests.contract.messaging.broker_subject import PROJECT, new_name, policy

PLAN = PushPlan("https://{queue}.example", "pusher@project.example")
ONE = PushTarget("https://one.example/push", "one@project.example", "https://one.example")
TWO = PushTarget("https://two.example/push", "two@project.example", "another")


@dataclass(frozen=True, slots=True)
class Switched:
    switch: PushSwitch
    said: Callable[[str], Awaitable[PushTarget | Pulled]]
    apply: Callable[[Topology], Awaitable[object]]

    async def subscription(self) -> str:
        """A new one."""
        topic = new_name()
        found = policy(topic)
        await self.apply(Topology((topic,), (found,)))
        return found.name


@asynccontextmanager
async def subscriber(address: str) -> AsyncIterator[Any]:
    channel = grpc.aio.insecure_channel(address)
    client = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel))
    try:
        yield client
    finally:
        await client.transport.close()


async def target_at(client: Any, name: str) -> PushTarget | Pulled:
    """Where the emulator says that a subscription pushes to."""
    found = await client.get_subscription(subscription=f"projects/{PROJECT}/subscriptions/{name}")
    config = found.push_config
    if not config.push_endpoint:
        return Pulled()
    return PushTarget(config.push_endpoint, config.oidc_token.service_account_email, config.oidc_token.audience)


@pytest.fixture(params=["memory", "pubsub"])
async def switched(request: pytest.FixtureRequest, pubsub_address: str) -> AsyncIterator[Switched]:
    if request.param == "memory":
        broker = MemoryBroker(SystemClock())

        async def said(name: str) -> PushTarget | Pulled:
            return broker.targets.get(name, Pulled())

        async def create(wanted: Topology) -> None:
            broker.apply(wanted)

        yield Switched(MemoryPushSwitch(broker), said, create)
        return
    channel = PubSubChannel.open(PROJECT, emulator=pubsub_address)
    async with subscriber(pubsub_address) as client:
        try:
            yield Switched(
                PubSubPushSwitch(channel),
                lambda name: target_at(client, name),
                lambda wanted: apply(wanted, project=PROJECT, emulator=pubsub_address),
            )
        finally:
            await channel.aclose()


async def test_a_subscription_points_where_it_was_last_pointed(switched: Switched) -> None:
    name = await switched.subscription()
    for target in (ONE, ONE, TWO, Pulled(), Pulled(), ONE):
        await switched.switch.point(name, target)
        assert await switched.said(name) == target


async def test_a_subscription_that_does_not_exist_cannot_be_pointed(switched: Switched) -> None:
    with pytest.raises(BrokerUnavailable):
        await switched.switch.point(new_name(), ONE)


async def test_a_broker_that_does_not_answer_is_an_outage() -> None:
    broker = MemoryBroker(SystemClock())
    broker.outage = Outage.UNREACHABLE
    with pytest.raises(BrokerUnavailable):
        await MemoryPushSwitch(broker).point("any", ONE)
    channel = PubSubChannel.open(PROJECT, emulator="127.0.0.1:1")
    try:
        with pytest.raises(BrokerUnavailable):
            await PubSubPushSwitch(channel).point("any", ONE)
    finally:
        await channel.aclose()


async def test_what_is_declared_as_pushed_is_pushed(pubsub_address: str) -> None:
    names = Names(new_name())
    wanted = topology(names, ["images", "texts"], push=dataclasses.replace(PLAN, queues=("images",)))
    await apply(wanted, project=PROJECT, emulator=pubsub_address)
    assert await apply(wanted, project=PROJECT, emulator=pubsub_address) == ()
    async with subscriber(pubsub_address) as client:
        for each in wanted.subscriptions:
            images = each.name.startswith(f"{names.prefix}-jobs-images") and not each.topic.endswith("-dead")
            assert await target_at(client, each.name) == (each.push if images else Pulled())
            assert (each.ack_deadline_seconds == 600) is images


async def test_a_queue_that_pulled_is_pushed_and_pulls_again(pubsub_address: str) -> None:
    names = Names(new_name())
    pulls, pushes = topology(names, ["images"]), topology(names, ["images"], push=PLAN)
    lanes = {each.name for each in pulls.subscriptions if names.is_jobs(each.topic)}
    await apply(pulls, project=PROJECT, emulator=pubsub_address)
    changes = await apply(pushes, project=PROJECT, emulator=pubsub_address)
    assert set(changes) == {Updated(name, ("ack_deadline_seconds", "push_config")) for name in lanes}
    assert await apply(pulls, project=PROJECT, emulator=pubsub_address) == (), "what is pushed stays so"
    changes = await apply(pulled(pulls), project=PROJECT, emulator=pubsub_address)
    assert set(changes) == {Updated(name, ("ack_deadline_seconds", "push_config")) for name in lanes}


async def test_a_paused_queue_is_not_switched_on_by_applying(pubsub_address: str) -> None:
    names = Names(new_name())
    await apply(topology(names, ["images"], push=PLAN), project=PROJECT, emulator=pubsub_address)
    wanted = topology(names, ["images"], push=PLAN, paused=["images"])
    jobs: Subscription = wanted.subscriptions[0]
    for _ in range(2):
        await apply(wanted, project=PROJECT, emulator=pubsub_address)
        async with subscriber(pubsub_address) as client:
            assert await target_at(client, jobs.name) == Pulled()


async def test_an_endpoint_that_is_no_address_is_refused() -> None:
    wanted = topology(Names(), ["images"], push=PushPlan("worker.example", "pusher@project.example"))
    with pytest.raises(ConfigError, match="push endpoint"):
        await apply(wanted, project=PROJECT, emulator="127.0.0.1:1")
