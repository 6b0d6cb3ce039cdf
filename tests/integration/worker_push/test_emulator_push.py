"""The push endpoint under the emulator's own pushes: its wrapping, and what it makes of each answer.

The emulator signs nothing. Between it and the worker stands a proxy that adds the token, or does not.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest_asyncio
from aiohttp import web

from deploy.admin.topology import apply, without_backoff
from deploy.local.backends import Backends
from deploy.local.bridge.issuer import Issuer
from deploy.local.ports import LOOPBACK, choose_port
from services.worker.jwks import KeySet, fetching
from services.worker.oidc import Expected, Verifier
from services.worker.push import Receiving
from services.worker.push_lanes import pushed_queue
from shared.clock import SystemClock
from shared.messaging.contract import Acknowledge, Delivery, Message, Redeliver, Verdict
from shared.messaging.pubsub import PubSubChannel, PubSubPublisher, PubSubPushSwitch
from shared.messaging.push import Pulled, PushPlan
from shared.messaging.topics import WORKER, Names, topology
from shared.models.job import Lane
from shared.telemetry.metrics import Metrics

PROJECT, EMAIL, AUDIENCE = "integration-push", "pusher@project.example", "https://worker.example"
PATIENT = 20.0


@dataclass
class Proxy:
    """Passes pushes on to the worker. signs: with a token of the issuer's."""

    issuer: Issuer
    session: aiohttp.ClientSession
    worker: str
    signs: bool = True
    statuses: list[int] = field(default_factory=list)

    async def passed_on(self, request: web.Request) -> web.Response:
        headers = {"Authorization": f"Bearer {self.issuer.token(AUDIENCE)}"} if self.signs else {}
        body = await request.read()
        async with self.session.post(self.worker + request.path, data=body, headers=headers) as answer:
            self.statuses.append(answer.status)
            return web.Response(status=answer.status)


@dataclass
class Bench:
    proxy: Proxy
    names: Names
    publisher: PubSubPublisher
    switch: PubSubPushSwitch
    plan: PushPlan
    receiving: Receiving
    verdicts: list[Verdict] = field(default_factory=list)
    handled: list[Delivery] = field(default_factory=list)

    async def handle(self, delivery: Delivery) -> Verdict:
        self.handled.append(delivery)
        return self.verdicts.pop(0) if self.verdicts else Acknowledge()

    async def publish(self, body: bytes, lane: Lane = Lane.INTERACTIVE) -> None:
        topic = self.names.jobs("images", lane)
        await self.publisher.publish(topic, Message(body, {"v": "1", "id": "job_é"}), timeout_seconds=PATIENT)

    def bodies(self) -> list[bytes]:
        return [delivery.message.body for delivery in self.handled]


@asynccontextmanager
async def served(*routes: web.RouteDef) -> AsyncIterator[str]:
    """An HTTP server of these routes, by its address."""
    app, port = web.Application(client_max_size=16_000_000), choose_port()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port).start()
    try:
        yield f"http://{LOOPBACK}:{port}"
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture
async def b(backends: Backends) -> AsyncIterator[Bench]:
    """A worker's endpoint on the emulator's pushes, its subscriptions pointed there as in a deployment."""
    clock, names, worker_port = SystemClock(), Names(f"p{os.urandom(6).hex()}"), choose_port()
    issuer = Issuer("https://issuer.example", EMAIL, clock)
    worker = f"http://{LOOPBACK}:{worker_port}"
    broker = PubSubChannel.open(PROJECT, emulator=backends.pubsub.address)
    publisher = PubSubPublisher(broker)
    async with aiohttp.ClientSession() as session:
        proxy = Proxy(issuer, session, worker)
        async with (
            served(web.get("/keys", issuer.keys)) as issuing,
            served(web.post("/push/{queue}/{lane}", proxy.passed_on)) as address,
        ):
            keys = KeySet(fetching(f"{issuing}/keys"), clock, lambda: 0.5)
            expected = Expected(AUDIENCE, ("https://issuer.example",), (EMAIL,))
            plan = PushPlan(address, EMAIL, AUDIENCE)
            made: list[Bench] = []

            async def handle(delivery: Delivery) -> Verdict:
                return await made[0].handle(delivery)

            receiving = Receiving(
                {"images": pushed_queue(names, "images", 5)},
                Verifier(expected, keys, clock),
                handle,
                address=(LOOPBACK, worker_port),
                beside=keys.run,
                clock=clock,
                draw=lambda: 0.5,
                metrics=Metrics(),
            )
            made.append(Bench(proxy, names, publisher, PubSubPushSwitch(broker), plan, receiving))
            wanted = without_backoff(topology(names, ["images"], push=plan))
            async with receiving.running():
                await apply(wanted, project=PROJECT, emulator=backends.pubsub.address)
                yield made[0]
                for lane in Lane:  # or the emulator goes on pushing at a closed port
                    await made[0].switch.point(names.reader(names.jobs("images", lane), WORKER), Pulled())
    await publisher.aclose(deadline_seconds=1)
    await broker.aclose()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENT):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_the_emulator_pushes_is_read_whole_and_forgotten_when_acknowledged(b: Bench) -> None:
    every_byte = bytes(range(256))
    await b.publish(every_byte, Lane.BULK)
    await until(lambda: bool(b.handled))
    [delivery] = b.handled
    assert delivery.subscription == b.names.reader(b.names.jobs("images", Lane.BULK), WORKER)
    assert delivery.message.body == every_byte
    assert delivery.message.attributes["id"] == "job_é"
    assert abs(delivery.published_at - SystemClock().now()) < 60_000
    await b.publish(b"next", Lane.BULK)
    await until(lambda: b.bodies()[-1] == b"next")
    assert b.bodies() == [every_byte, b"next"]
    await until(lambda: b.proxy.statuses == [204, 204])


async def test_what_is_refused_comes_again(b: Bench) -> None:
    b.verdicts = [Redeliver(0), Redeliver(0)]
    await b.publish(b"again")
    await until(lambda: 204 in b.proxy.statuses)
    assert b.bodies() == [b"again"] * 3
    assert b.proxy.statuses == [429, 429, 204]


async def test_pushes_that_nobody_signed_run_nothing_emulator_or_not(b: Bench) -> None:
    """S12: and what was refused is not lost, but comes with a token as soon as somebody signs."""
    b.proxy.signs = False
    await b.publish(b"unsigned")
    await until(lambda: len(b.proxy.statuses) >= 3)
    assert set(b.proxy.statuses) == {401}
    assert b.handled == []
    b.proxy.signs = True
    await until(lambda: bool(b.handled))
    assert b.bodies() == [b"unsigned"]


async def test_a_subscription_that_is_switched_off_keeps_its_messages(b: Bench) -> None:
    subscription = b.names.reader(b.names.jobs("images", Lane.INTERACTIVE), WORKER)
    await b.switch.point(subscription, Pulled())
    await b.publish(b"paused")
    await b.publish(b"not paused", Lane.BULK)
    await until(lambda: bool(b.handled))
    assert b.bodies() == [b"not paused"]
    await b.switch.point(subscription, b.plan.target("images", Lane.INTERACTIVE))
    await until(lambda: len(b.handled) == 2)
    assert b.bodies() == [b"not paused", b"paused"]
