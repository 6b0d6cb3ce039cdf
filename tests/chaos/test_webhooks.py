"""Webhooks under faults: dead endpoints in the thousands, and services that are killed, frozen and drained mid-run."""

import asyncio
import logging
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from deploy.local.backends import Backends
from services.webhooks.app import connected
from shared.models.delivery import DeliveryState
from shared.models.event import Event
from shared.models.webhook import Endpoint
from shared.storage.contract import Version
from tests.chaos.silence import silent_dns, silent_server
from tests.chaos.webhook_fleet import fleet
from tests.integration.webhooks.bench import (
    Bench,
    bench,
)
from tests.integration.webhooks.receiver import Answer, Receiver, receiving, status, until, until_true

_log = logging.getLogger("sluice.chaos")

DEAD = 10_000
TENANTS = 100
"""Each with as many endpoints as a tenant may have."""
HEALTHY_EVENTS = 400
NEWCOMERS = 20
NEW_SECONDS = 30.0
"""For the slowest of them: a hundred tenants take turns at slots, of which some ten a second become free. Behind the
dead ones it would wait for many minutes, for each of those holds a slot for up to 15 s."""


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest.mark.timeout(600)
async def test_ten_thousand_black_holes_leave_a_healthy_endpoint_its_second(
    backends: Backends, receiver: Receiver
) -> None:
    """R21. Half of them have names that never resolve, half are servers that never answer."""
    async with (
        silent_dns() as (dns, heard),
        silent_server() as port,
        bench(backends, receiver, webhooks_dns=dns) as b,
    ):
        healthy = b.new_tenant()
        await b.register(healthy, "/healthy")
        await b.publish(b.event(healthy))
        await receiver.until(1, "/healthy")
        receiver.arrivals.clear()
        tenants = [b.new_tenant() for _ in range(TENANTS)]
        dead = [
            b.endpoint(tenants[n % TENANTS], f"https://h{n}.example.com/" if n % 2 else _silent(n, port))
            for n in range(DEAD)
        ]
        await _create(b, dead)
        await b.publish(*(b.event(tenant) for tenant in tenants))
        await until(lambda: heard.asked > 100, within=200)
        lags, firsts = await asyncio.gather(_lags(b, healthy, receiver), _first_lags(b, receiver))
        seen = heard.asked
    lags.sort()
    firsts.sort()
    p50, p99 = lags[len(lags) // 2], lags[int(len(lags) * 0.99)]
    _log.info("dead endpoints: %d; a healthy one: p50 %.3f s, p99 %.3f s; %d lookups", DEAD, p50, p99, seen)
    _log.info("new ones: p50 %.3f s, the slowest %.3f s", firsts[len(firsts) // 2], firsts[-1])
    assert len(lags) == HEALTHY_EVENTS
    assert p99 < 1.0
    assert firsts[-1] < NEW_SECONDS


async def _first_lags(b: Bench, receiver: Receiver) -> list[float]:
    """Seconds from the delivery to the request, the first that each of some endpoints ever gets; each has a tenant.

    Who is to be told of an event takes a query, for which the emulator scans all endpoints: that is not counted.
    """
    loop, found = asyncio.get_running_loop(), []
    for n in range(NEWCOMERS):
        tenant, path = b.new_tenant(), f"/new-{n}"
        await b.register(tenant, path)
        began = loop.time()
        await b.publish(b.event(tenant))
        [arrival] = await receiver.until(1, path, within=120)
        [delivery] = await b.log(tenant)
        found.append(arrival.at - loop.time() + (b.adapters.clock.now() - delivery.created_at) / 1_000)
        await asyncio.sleep(1.0 - min(1.0, loop.time() - began))
    return found


def _silent(n: int, port: int) -> str:
    return f"http://h{n}.localhost:{port}/"


async def _create(b: Bench, endpoints: list[Endpoint]) -> None:
    gate = asyncio.Semaphore(64)

    async def one(endpoint: Endpoint) -> None:
        async with gate:
            assert isinstance(await b.adapters.endpoints.create(endpoint), Version)

    await asyncio.gather(*map(one, endpoints))


async def _lags(b: Bench, tenant: str, receiver: Receiver) -> list[float]:
    """Seconds from each event's publish to its arrival, twenty events a second."""
    loop = asyncio.get_running_loop()
    published: dict[str, float] = {}

    async def one() -> None:
        event = b.event(tenant)
        published[event.data["id"]] = loop.time()
        await b.publish(event)

    async with asyncio.TaskGroup() as group:
        for _ in range(HEALTHY_EVENTS):
            group.create_task(one())
            await asyncio.sleep(0.05)  # the rate at which events happen
    arrivals = await receiver.until(HEALTHY_EVENTS, "/healthy", within=60)
    return [each.at - published[each.json["data"]["id"]] for each in arrivals]


@pytest.mark.timeout(240)
async def test_killed_frozen_drained_and_restarted_nothing_is_lost(backends: Backends, receiver: Receiver) -> None:
    """R21: delivered + exhausted + expired + held + blocked = accepted, and each healthy message arrived."""
    async with AsyncExitStack() as stack:
        settings, processes = await stack.enter_async_context(fleet(backends, 3))
        b = Bench(settings, await stack.enter_async_context(connected(settings)), receiver)
        tenant = b.new_tenant()
        await b.register(tenant, "/good")
        await b.register(tenant, "/flaky")
        await b.register(tenant, "/gone")
        await b.register(tenant, url="https://127.0.0.1/")
        receiver.answers |= {"/gone": status(410), "/flaky": _flaky()}
        events = [b.event(tenant) for _ in range(300)]
        publishing = asyncio.create_task(_publish_slowly(b, events))
        await receiver.until(20, "/good")
        await processes[0].end(signal.SIGKILL)
        await receiver.until(60, "/good")
        processes[1].send(signal.SIGSTOP)
        await processes[0].start()
        await receiver.until(150, "/good")
        processes[1].send(signal.SIGCONT)
        assert await processes[2].end(signal.SIGTERM) == 0
        await processes[2].start()
        await publishing
        wanted = {event.data["id"] for event in events}
        await until(lambda: {each.json["data"]["id"] for each in receiver.at("/good")} >= wanted, within=120)

        async def settled() -> bool:
            states = Counter(each.state for each in await b.log(tenant))
            return not states[DeliveryState.PENDING] and not states[DeliveryState.SENDING]

        try:
            await until_true(settled, within=100)
        finally:
            log = await b.log(tenant)
            _log.info("states: %s", Counter(each.state for each in log))
    states = Counter(each.state for each in log)
    _log.info("deliveries: %d, %s; requests: %d", len(log), dict(states), len(receiver.arrivals))
    assert len(log) == 4 * len(events)
    assert sum(states.values()) == len(log)
    assert states[DeliveryState.DELIVERED] == 2 * len(events)
    assert states[DeliveryState.HELD] == states[DeliveryState.BLOCKED] == len(events)


def _flaky() -> Answer:
    """Every fifth message is refused when it comes first; a second failure would be five minutes away."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        message = request.headers["webhook-id"]
        first = message not in seen
        seen.append(message)
        return await status(500 if first and len(seen) % 5 == 0 else 200)(request)

    return answer


async def _publish_slowly(b: Bench, events: Sequence[Event]) -> None:
    for event in events:
        await b.publish(event)
        await asyncio.sleep(0.05)  # the rate at which events happen
