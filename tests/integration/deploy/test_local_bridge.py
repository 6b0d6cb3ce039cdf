"""The bridge's parts: how many pushes are on their way, what an answer means, what is signed, and when it stops."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import orjson
import pytest
import pytest_asyncio
from aiohttp import web

from deploy.local.bridge.forward import AGAIN_SECONDS, Address, Forwarder, wrapped
from deploy.local.bridge.issuer import LIFE_SECONDS, RENEW_SECONDS, Issuer
from deploy.local.bridge.pulling import Pulling
from deploy.local.bridge.window import CALM_SECONDS, START, Window
from deploy.local.ports import LOOPBACK, choose_port
from services.worker.jwks import Fetched, KeySet
from services.worker.oidc import Expected, Genuine, Verifier
from services.worker.wrapped import delivery_of
from shared.clock import ManualClock
from shared.lifecycle import running
from shared.messaging.consumer import Consumer
from shared.messaging.contract import Acknowledge, Delivery, Message, Redeliver, Verdict
from shared.messaging.lanes import Lane
from shared.messaging.memory import MemoryBroker, MemoryPublisher, MemorySource
from shared.messaging.topics import WORKER, Names, topology
from shared.models import job
from shared.models.queue import QueueControl
from shared.storage.memory import MemoryDatabase, MemoryQueueControls

DELIVERY = Delivery("images.worker", "a1", "7", Message(b"\x00\xff", {"v": "1"}), 1_700_000_000_000, 3)


def test_what_is_wrapped_is_what_workers_read() -> None:
    found = delivery_of(wrapped(DELIVERY, "p"), DELIVERY.subscription, "a1")
    assert found == DELIVERY


async def test_more_and_more_are_on_their_way_while_all_goes_well() -> None:
    window = Window(100, ManualClock())
    assert window.size == START
    for _ in range(200):
        window.succeeded()
    assert window.size == 100


async def test_fewer_are_when_one_is_refused_once_for_all_of_a_moment() -> None:
    clock = ManualClock()
    window = Window(100, clock)
    for _ in range(5):
        window.refused()
    assert window.size == START // 2
    for _ in range(10):
        await clock.advance(CALM_SECONDS)
        window.refused()
    assert window.size == 1


async def test_who_finds_no_place_waits_for_one_in_turn() -> None:
    window, order, gate = Window(1, ManualClock()), list[int](), asyncio.Event()

    async def one(number: int) -> None:
        async with window:
            order.append(number)
            await gate.wait()

    tasks = [asyncio.create_task(one(number)) for number in range(4)]
    await asyncio.sleep(0)
    assert order == [0]
    tasks[1].cancel()
    gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 2, 3]


async def test_a_token_is_what_a_worker_takes_and_is_renewed_in_time() -> None:
    clock = ManualClock()
    issuer = Issuer("http://127.0.0.1:1", "bridge@example.invalid", clock)

    async def fetch() -> Fetched:
        return Fetched(issuer.key_set(), 60)

    expected = Expected("aud", ("http://127.0.0.1:1",), ("bridge@example.invalid",))
    verifier = Verifier(expected, KeySet(fetch, clock, lambda: 0.5), clock)
    token = issuer.token("aud")
    assert await verifier.verify(f"Bearer {token}") == Genuine("bridge@example.invalid")
    await clock.advance(RENEW_SECONDS - 1)
    assert issuer.token("aud") == token
    await clock.advance(1)
    assert issuer.token("aud") != token
    await clock.advance(LIFE_SECONDS)
    assert await verifier.verify(f"Bearer {issuer.token('aud')}") == Genuine("bridge@example.invalid")


class Worker:
    """Answers as told."""

    def __init__(self) -> None:
        self.status = 204
        self.headers: dict[str, str] = {}
        self.bodies: list[bytes] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        return web.Response(status=self.status, headers=self.headers)


@pytest_asyncio.fixture
async def worker() -> AsyncIterator[tuple[Worker, str]]:
    worker, app, port = Worker(), web.Application(), choose_port()
    app.router.add_post("/push", worker.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port).start()
    try:
        yield worker, f"http://{LOOPBACK}:{port}/push"
    finally:
        await runner.cleanup()


async def forwarded(url: str) -> tuple[Verdict, Window]:
    clock = ManualClock()
    window = Window(100, clock)
    async with aiohttp.ClientSession() as session:
        addresses = {DELIVERY.subscription: Address(url, "aud", window)}
        forwarder = Forwarder("p", addresses, Issuer("iss", "mail", clock), session)
        return await forwarder.handle(DELIVERY), window


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_what_pubsub_takes_for_an_acknowledgement_is_one(worker: tuple[Worker, str], status: int) -> None:
    worker[0].status = status
    verdict, window = await forwarded(worker[1])
    assert verdict == Acknowledge()
    assert window.size == START + 1
    assert orjson.loads(worker[0].bodies[0])["message"]["messageId"] == "7"


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [(429, {"Retry-After": "7"}, 7), (503, {}, AGAIN_SECONDS), (401, {}, AGAIN_SECONDS), (307, {"Location": "/"}, 1)],
)
async def test_anything_else_comes_again(
    worker: tuple[Worker, str], status: int, headers: dict[str, str], seconds: float
) -> None:
    worker[0].status, worker[0].headers = status, headers
    verdict, window = await forwarded(worker[1])
    assert verdict == Redeliver(seconds)
    assert window.size == START // 2
    assert len(worker[0].bodies) == 1


async def test_a_worker_that_is_not_there_loses_nothing() -> None:
    assert (await forwarded(f"http://{LOOPBACK}:{choose_port()}/push"))[0] == Redeliver(AGAIN_SECONDS)


async def test_paused_queues_are_left_alone_and_nothing_is_resumed_on_leaving() -> None:
    clock, names, handled = ManualClock(), Names(), list[str]()
    broker, controls = MemoryBroker(clock), MemoryQueueControls(MemoryDatabase(clock))
    broker.apply(topology(names, ["images", "texts"]))
    publisher = MemoryPublisher(broker)

    async def handle(delivery: Delivery) -> Verdict:
        handled.append(delivery.message.body.decode())
        return Acknowledge()

    def consumers(queue: str) -> list[Consumer]:
        lanes = [Lane(names.reader(names.jobs(queue, lane), WORKER)) for lane in job.Lane]
        return [Consumer(MemorySource(broker, clock), [lane], handle, capacity=4, clock=clock) for lane in lanes]

    async def publish() -> None:
        for queue in ("images", "texts"):
            topic = names.jobs(queue, job.Lane.BULK)
            await publisher.publish(topic, Message(queue.encode()), timeout_seconds=1)
        await clock.advance(5)

    pulling = Pulling({queue: consumers(queue) for queue in ("images", "texts")})
    await controls.put(QueueControl("images", clock.now()))
    async with running(pulling.follow(controls, clock, 1.0), *(each.run() for each in pulling.consumers)):
        await clock.advance(1)
        await publish()
        assert handled == ["texts"]
        await controls.put(QueueControl("images"))
        await clock.advance(5)
        assert handled == ["texts", "images"]
        await pulling.stop()
        await clock.advance(5)
        await publish()
        assert handled == ["texts", "images"]
