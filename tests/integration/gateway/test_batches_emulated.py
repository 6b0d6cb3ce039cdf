"""Batches on the real emulators and Redis: one whole gateway, what it leaves in them, and a batch from end to end."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio

from deploy.admin import topology as admin
from deploy.local.backends import Backends
from deploy.local.ports import choose_port
from services.gateway.app import gateway
from services.gateway.settings import Settings
from shared.cache.redis.address import Address
from shared.cache.redis.connection import Connection
from shared.cache.redis.snapshots import RedisSnapshots
from shared.config import Secret
from shared.ids import IdKeys, Ids
from shared.lifecycle import Readiness, Runtime
from shared.messaging.pubsub import PubSubChannel, PubSubSource
from shared.messaging.topics import Names, topology
from shared.models import bitmap
from shared.models.batch_items import Items
from shared.models.batch_public import SEALED, batch_snapshot
from shared.models.envelope import Envelope
from shared.models.event import Event
from shared.models.job import Job, JobSpec, Lane
from shared.models.key import SCOPES, ApiKey, KeyToken
from shared.storage.batch_contract import change, uploaded
from shared.storage.firestore import (
    FirestoreBatches,
    FirestoreCatalogue,
    FirestoreChunks,
    FirestoreDatabase,
    FirestoreJobs,
    FirestoreKeys,
)
from shared.telemetry.metrics import Metrics
from shared.telemetry.traces import Traces
from tests.contract.storage.storage_subject import PATIENT, new_project
from tests.integration.gateway.batch_bench import ID_KEYS, STATS, ndjson, texts

TOKEN = "sk_batches_" + "0" * 32
SECONDS = 60.0


@dataclass
class Emulated:
    url: str
    session: aiohttp.ClientSession
    names: Names
    source: PubSubSource
    database: FirestoreDatabase
    cache: RedisSnapshots

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {TOKEN}", **more.pop("headers", {})}
        async with self.session.request(method, self.url + path, headers=headers, **more) as response:
            body = await response.read()
            if response.content_type == "application/x-ndjson":
                return response.status, [orjson.loads(line) for line in body.splitlines()]
            return response.status, orjson.loads(body) if body else None

    async def upload(self, lines: Any, key: str) -> tuple[int, Any]:
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": key}
        return await self.ask("POST", "/v1/batches?handler=text.stats", data=lines, headers=headers)

    async def messages(self, topic: str, reader: str, count: int) -> list[bytes]:
        """The bodies of the next `count` messages, and of those that come with them."""
        found: list[bytes] = []
        async with asyncio.timeout(SECONDS):
            while len(found) < count:
                got = await self.source.pull(self.names.reader(topic, reader), limit=1_000, wait_seconds=1)
                found += [each.message.body for each in got]
                await asyncio.gather(*(self.source.acknowledge(each) for each in got))
        return found

    async def items(self, count: int) -> list[JobSpec]:
        bodies = await self.messages(self.names.jobs("texts", Lane.BULK), "worker", count)
        return [Envelope.decode(body).spec for body in bodies]


@pytest_asyncio.fixture(scope="module")
async def emulated(backends: Backends) -> AsyncIterator[Emulated]:
    project, prefix = new_project(), f"b{os.urandom(4).hex()}"
    names = Names(prefix)
    settings = Settings(
        id_keys=Secret(ID_KEYS),
        webhook_keys=Secret("1:" + "cd" * 32),
        project=project,
        prefix=prefix,
        port=choose_port(),
        instance=prefix,
        pubsub_emulator=backends.pubsub.address,
        firestore_emulator=backends.firestore.address,
        redis_url=backends.redis.address,
        store_seconds=30.0,
        publish_seconds=30.0,
    )
    await admin.apply(topology(names, ["texts"]), project=project, emulator=backends.pubsub.address)
    token = KeyToken.parse(TOKEN)
    assert token is not None
    channel = PubSubChannel.open(project, emulator=backends.pubsub.address)
    source = PubSubSource(channel)
    redis = Connection(Address.parse(settings.redis_url), timeout_seconds=10.0, rng=random.Random(7))
    async with redis, FirestoreDatabase(project, backends.firestore.address, limits=PATIENT) as database:
        await FirestoreCatalogue(database).announce([STATS])
        await FirestoreKeys(database).put(ApiKey(token.id, "acme", token.secret_sha256, SCOPES))
        async with (
            gateway(settings, Runtime(Metrics(), Traces(), Readiness())),
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as session,
        ):
            url = f"http://127.0.0.1:{settings.port}"
            yield Emulated(url, session, names, source, database, RedisSnapshots(redis))
    await source.aclose()
    await channel.aclose()


async def test_a_batch_from_its_upload_to_its_deletion(emulated: Emulated) -> None:
    values = texts(5_000)
    status, batch = await emulated.upload(ndjson(values), "whole")
    assert (status, batch["counts"]["total"], batch["status"]) == (202, 5_000, "running")
    id, path = batch["id"], batch["urls"]["self"]
    specs = {spec.index: spec for spec in await emulated.items(5_000)}
    assert sorted(index for index in specs if index is not None) == list(range(5_000))
    ids = Ids(IdKeys.parse(ID_KEYS))
    assert {spec.id for spec in specs.values()} == {ids.item("acme", id, n).text for n in range(5_000)}
    assert all(orjson.loads(specs[n].input) == values[n] for n in (0, 999, 1_000, 4_999))
    [event] = await emulated.messages(emulated.names.events, "webhooks", 1)
    assert Event.decode(event).type == SEALED

    jobs = FirestoreJobs(emulated.database)

    async def finish(spec: JobSpec) -> None:
        job = Job.queued(spec).claimed(attempt=1, fence="f", worker="w", lease_seconds=15, at=spec.created_at)
        await jobs.create(job.succeeded(b"%d" % (spec.index or 0), at=spec.created_at))

    await asyncio.gather(*(finish(specs[n]) for n in range(300)))
    waiting = asyncio.create_task(emulated.ask("GET", path, headers={"Prefer": "wait=30"}))
    now = next(iter(specs.values())).created_at
    over = Items(succeeded=bitmap.full(300), failed=bitmap.full(5_000) & ~bitmap.full(300))
    found = await change(FirestoreBatches(emulated.database), id, lambda each: each.merged(over).concluded(at=now))
    assert found is not None
    await emulated.cache.tell(batch_snapshot(found))
    status, shown = await waiting
    assert (status, shown["status"], shown["counts"]["succeeded"]) == (200, "completed", 300)

    status, lines = await emulated.ask("GET", f"{path}/outputs")
    assert status == 200
    assert [line["output"] for line in lines[:300]] == list(range(300))
    assert [line["index"] for line in lines] == list(range(5_000))
    status, page = await emulated.ask("GET", f"{path}/jobs?status=succeeded&limit=100")
    assert [each["index"] for each in page["data"]] == list(range(100))
    status, listed = await emulated.ask("GET", "/v1/batches?status=completed")
    assert id in [each["id"] for each in listed["data"]]

    assert (await emulated.ask("DELETE", path))[0] == 204
    assert (await emulated.ask("GET", path))[0] == 410
    stored = await jobs.read(specs[7].id)
    assert stored is not None
    assert (stored.value.output, stored.value.deleted_at is None) == (None, False)
    assert await uploaded(FirestoreChunks(emulated.database), id) == []


async def test_a_broken_upload_goes_on_and_publishes_nothing_twice(emulated: Emulated) -> None:
    chunks, going = FirestoreChunks(emulated.database), asyncio.Event()

    async def broken() -> AsyncIterator[bytes]:
        yield ndjson(texts(2_500))
        await going.wait()
        raise ConnectionError("the client's own trouble")

    upload = asyncio.create_task(emulated.upload(broken(), "broken"))
    items = await emulated.items(2_000)
    assert {spec.batch for spec in items} == {items[0].batch}
    id = items[0].batch or ""
    async with asyncio.timeout(SECONDS):
        while [each.published for each in await uploaded(chunks, id)] != [True, True]:
            await asyncio.sleep(0.02)
    going.set()
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await upload
    status, shown = await emulated.ask("GET", f"/v1/batches/{id}")
    assert (status, shown["status"]) == (200, "open")
    async with asyncio.timeout(SECONDS):
        while (answer := await emulated.upload(ndjson(texts(4_000)), "broken"))[0] == 409:
            await asyncio.sleep(0.1)
    assert (answer[0], answer[1]["id"], answer[1]["counts"]["total"]) == (202, id, 4_000)
    items += await emulated.items(2_000)
    assert Counter(spec.index for spec in items) == Counter(range(4_000))
    before = len(await uploaded(chunks, id))
    status, again = await emulated.upload(ndjson(texts(4_000)), "broken")
    assert (status, again["id"]) == (202, id)
    assert len(await uploaded(chunks, id)) == before
    status, refused = await emulated.upload(ndjson(texts(3_999)), "broken")
    assert (status, refused["type"]) == (422, "/problems/idempotency-key-reused")
    found = await emulated.source.pull(
        emulated.names.reader(emulated.names.jobs("texts", Lane.BULK), "worker"), limit=10, wait_seconds=1
    )
    assert found == []
