"""The bridge's composition root: consumers on the emulator, a client to the workers, and the issuer's keys."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from deploy.admin.queues import queues_of
from deploy.local.bridge.forward import Address, Forwarder, timeout
from deploy.local.bridge.issuer import KEYS_PATH, Issuer
from deploy.local.bridge.pulling import Pulling
from deploy.local.bridge.settings import Settings
from deploy.local.bridge.window import Window
from deploy.local.ports import LOOPBACK
from shared import connections
from shared.clock import Clock, SystemClock
from shared.lifecycle import Runtime, Service, running
from shared.messaging.consumer import Consumer
from shared.messaging.contract import Source
from shared.messaging.lanes import Lane
from shared.messaging.push import path
from shared.messaging.topics import WORKER, Names
from shared.models import job
from shared.storage.firestore import FirestoreQueueControls


@asynccontextmanager
async def bridge(settings: Settings, _runtime: Runtime) -> AsyncIterator[Service]:
    clock = SystemClock()
    issuer = Issuer(settings.push_issuers[0], settings.push_emails[0], clock)
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        connections.pubsub(settings) as pubsub,
        connections.firestore(settings) as database,
        aiohttp.ClientSession(connector=connector, timeout=timeout()) as session,
        _keys_served(issuer, settings.bridge_port),
    ):
        pulling = Pulling(_queues(settings, pubsub.source, issuer, session, clock))
        pauses = pulling.follow(FirestoreQueueControls(database), clock, settings.controls_seconds)
        async with running(pauses, *(each.run() for each in pulling.consumers)):
            yield Service({"broker": pubsub.channel.until_ready}, pulling.stop, pulling.drain)


def _queues(
    settings: Settings, source: Source, issuer: Issuer, session: aiohttp.ClientSession, clock: Clock
) -> dict[str, list[Consumer]]:
    """A consumer for each lane of each queue: each lane has a flow of its own."""
    names, addresses = Names(settings.prefix), dict[str, Address]()
    forwarder = Forwarder(settings.project, addresses, issuer, session)
    queues: dict[str, list[Consumer]] = {}
    for queue in sorted(queues_of(settings.handlers)):
        for lane in job.Lane:
            subscription = names.reader(names.jobs(queue, lane), WORKER)
            window = Window(settings.bridge_concurrency, clock)
            addresses[subscription] = Address(settings.bridge_to + path(queue, lane), settings.push_audience, window)
            capacity = settings.bridge_concurrency
            consumer = Consumer(source, [Lane(subscription)], forwarder.handle, capacity=capacity, clock=clock)
            queues.setdefault(queue, []).append(consumer)
    return queues


@asynccontextmanager
async def _keys_served(issuer: Issuer, port: int) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_get(KEYS_PATH, issuer.keys)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port).start()
    try:
        yield
    finally:
        await runner.cleanup()
