"""Posting batches over a real socket: what is accepted, what is refused, and that a broken upload goes on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from shared.errors import BrokerUnavailable
from shared.messaging.contract import Message
from shared.messaging.memory import Outage
from shared.models.batch import CHUNK_ITEMS, BatchStatus
from shared.models.batch_items import Items
from shared.models.batch_public import DEADLINE, SEALED
from shared.models.event import Event
from shared.models.job import Lane
from shared.storage.contract import TIMER_SHARDS
from tests.integration.gateway.batch_bench import Bench, batch_bench, ndjson, texts, until

ONCE = {1}


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with batch_bench() as running:
        yield running


def times(bench: Bench) -> set[int]:
    """How often items were published."""
    return set(bench.often().values())


async def test_a_batch_of_json_is_published_sealed_and_shown(bench: Bench) -> None:
    answer = await bench.post(texts(3), labels={"team": "a"}, timeout_seconds=5, max_attempts=2)
    assert answer.status == 202
    batch = answer.json
    assert (batch["status"], batch["counts"]["total"], batch["counts"]["queued"]) == ("running", 3, 3)
    assert answer.headers["Location"] == batch["urls"]["self"] == f"/v1/batches/{batch['id']}"
    assert answer.headers["ETag"]
    assert answer.headers["Retry-After"]
    specs = sorted(bench.published(), key=lambda spec: spec.index or 0)
    assert [spec.input for spec in specs] == [b'{"text":"t0"}', b'{"text":"t1"}', b'{"text":"t2"}']
    for index, spec in enumerate(specs):
        assert spec.id == bench.ids.item("acme", batch["id"], index).text
        assert (spec.batch, spec.index, spec.lane, spec.labels) == (batch["id"], index, Lane.BULK, {"team": "a"})
        assert (spec.timeout_seconds, spec.max_attempts) == (5.0, 2)
    [event] = bench.events()
    assert (event.type, event.batch, event.data["total"]) == (SEALED, batch["id"], 3)
    assert await bench.remembered(batch["id"]) == [(0, 3, True)]


async def test_its_deadline_is_timed(bench: Bench) -> None:
    answer = await bench.post(texts(1), expires_in_seconds=60)
    due = await bench.timers.due(range(TIMER_SHARDS), until=2**45, limit=9)
    [timer] = [each.value for each in due]
    event = Event.decode(timer.body)
    assert (event.type, event.batch, timer.attributes["type"]) == (DEADLINE, answer.json["id"], DEADLINE)
    assert timer.due_at >= bench.clock.now() + 60_000


async def test_json_is_checked_whole_before_anything_is_done(bench: Bench) -> None:
    answer = await bench.post([{"text": "good"}, {"text": 7}, "no", {"text": "good"}])
    assert (answer.status, answer.json["type"]) == (422, "/problems/invalid-input")
    assert [fault["pointer"] for fault in answer.json["errors"]] == ["/inputs/1/text", "/inputs/2"]
    assert (bench.published(), bench.events()) == ([], [])
    assert bench.database.batches.documents == {}


async def test_lines_are_published_as_they_come(bench: Bench) -> None:
    going = asyncio.Event()

    async def lines() -> AsyncIterator[bytes]:
        yield ndjson(texts(2_500))
        await going.wait()
        yield ndjson(texts(10, 2_500))[:-1]  # the last line needs no end

    upload = asyncio.create_task(bench.upload(lines()))
    await until(lambda: len(bench.published()) == 2_000)
    [id] = bench.database.batches.documents
    assert (await bench.batch(id)).status is BatchStatus.OPEN
    going.set()
    answer = await upload
    assert (answer.status, answer.json["id"], answer.json["counts"]["total"]) == (202, id, 2_510)
    assert sorted(bench.often()) == list(range(2_510))
    assert times(bench) == ONCE
    inputs = {spec.index: spec.input for spec in bench.published()}
    assert inputs[2_509] == b'{"text":"t2509"}'


async def test_options_of_lines_stand_in_the_query(bench: Bench) -> None:
    query = "handler=text.stats&label.team=a&timeout_seconds=2.5&max_attempts=3&expires_in_seconds=60&reduce="
    answer = await bench.upload(ndjson(texts(1)), query=query + '{"handler":"sum","field":"n"}')
    assert answer.status == 202, answer.body
    spec = (await bench.batch(answer.json["id"])).spec
    assert (spec.labels, spec.timeout_seconds, spec.max_attempts) == ({"team": "a"}, 2.5, 3)
    assert spec.expires_at - spec.created_at == 60_000
    assert spec.reduce is not None
    assert (spec.reduce.handler, spec.reduce.queue, spec.reduce.options) == ("sum", "texts", b'{"field":"n"}')


async def test_a_first_bad_line_leaves_nothing(bench: Bench) -> None:
    answer = await bench.upload(b'{"text":"a"}\n{"text":1}\n')
    assert (answer.status, answer.json["type"], answer.json["index"]) == (422, "/problems/invalid-input", 1)
    assert [fault["pointer"] for fault in answer.json["errors"]] == ["/1/text"]
    assert bench.published() == []
    assert bench.database.batches.documents == {}


async def test_while_the_broker_is_away_a_batch_is_refused_and_goes_on_afterwards(bench: Bench) -> None:
    async def lost(messages: Sequence[Message]) -> None:
        if len(bench.published()) >= 2 * CHUNK_ITEMS:
            raise BrokerUnavailable("gone")

    bench.publisher.before = lost
    answer = await bench.upload(ndjson(texts(4_000)), key="k")
    assert (answer.status, answer.json["accepted"]) == (503, False)
    assert answer.json["batch"]["status"] == "open"
    bench.publisher.before = None
    again = await bench.upload(ndjson(texts(4_000)), key="k")
    assert (again.status, again.json["id"]) == (202, answer.json["batch"]["id"])
    assert sorted(bench.often()) == list(range(4_000))
    assert times(bench) == ONCE


@pytest.mark.parametrize("keyed", [True, False])
async def test_while_the_store_is_away_nothing_is_published(bench: Bench, keyed: bool) -> None:
    assert (await bench.post(texts(1))).status == 202  # the handler and the key are known
    before = len(bench.published())
    bench.database.fail()
    for answer in (
        await bench.post(texts(2), key="k" if keyed else ""),
        await bench.upload(ndjson(texts(2)), key="l" if keyed else ""),
    ):
        assert (answer.status, answer.json["accepted"]) == (503, False)
    assert len(bench.published()) == before
    bench.database.heal()
    assert (await bench.post(texts(2), key="k")).status == 202


async def test_an_aggregator_that_cannot_be_told_is_told_by_the_next(bench: Bench) -> None:
    async def lost(messages: Sequence[Message]) -> None:
        if len(messages) == 1:
            raise BrokerUnavailable("gone")

    bench.publisher.before = lost
    answer = await bench.post(texts(2), key="k")
    assert (answer.status, answer.json["accepted"]) == (503, "unknown")  # it is sealed, and will run
    bench.publisher.before = None
    assert (await bench.post(texts(2), key="k")).status == 202
    assert [event.type for event in bench.events()] == [SEALED]
    assert times(bench) == ONCE


async def test_without_redis_batches_go_on(bench: Bench) -> None:
    bench.cache.stop()
    answer = await bench.post(texts(2), key="k")
    assert answer.status == 202
    assert (await bench.ask("GET", answer.json["urls"]["self"])).json == answer.json
    assert (await bench.post(texts(2), key="k")).json == answer.json


async def test_what_cannot_be_published_is_not_taken_from_the_client(bench: Bench) -> None:
    """However large the batch: a few chunks are in memory, and the client is held back."""
    sent, going = 0, asyncio.Event()

    async def stuck(_messages: Sequence[Message]) -> None:
        await going.wait()

    async def lines() -> AsyncIterator[bytes]:
        nonlocal sent
        for start in range(0, 60_000, 500):
            yield ndjson({"text": "x" * 300} for _ in range(500))
            sent = start + 500

    bench.publisher.before = stuck
    upload = asyncio.create_task(bench.upload(lines()))
    await until(lambda: bench.publisher.at_once > 0)
    before = -1
    while sent != before:
        before = sent
        await asyncio.sleep(0.3)
    assert bench.publisher.most_at_once <= 3
    assert sent <= 40_000  # most of them in the sockets' own buffers, which the kernel sizes
    going.set()
    assert (await upload).json["counts"]["total"] == 60_000


async def test_chunks_at_the_broker_are_bounded_over_all_uploads() -> None:
    async with batch_bench(chunks_in_flight=2) as bench:

        async def slow(_messages: Sequence[Message]) -> None:
            await until(lambda: bench.publisher.most_at_once >= 2)
            await asyncio.sleep(0.01)

        bench.publisher.before = slow
        answers = await asyncio.gather(*(bench.upload(ndjson(texts(3_000))) for _ in range(4)))
        assert {answer.status for answer in answers} == {202}
        assert bench.publisher.most_at_once == 2


async def test_uploads_are_bounded_and_one_that_is_aborted_frees_its_place() -> None:
    async with batch_bench(max_uploads=2, max_uploads_per_key=1) as bench:
        forever = asyncio.Event()

        async def lines() -> AsyncIterator[bytes]:
            yield ndjson(texts(1_000))
            await forever.wait()

        def begin(tenant: str) -> "asyncio.Task[Any]":
            return asyncio.create_task(bench.upload(lines(), tenant=tenant))

        held = [begin("acme"), begin("globex")]
        await until(lambda: len(bench.published()) == 2_000)
        refused = await bench.post(texts(1))
        assert (refused.status, refused.json["type"]) == (429, "/problems/rate-limited")
        for each in held:
            each.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        async with asyncio.timeout(10):
            while (answer := await bench.post(texts(1))).status != 202:
                assert answer.status in {429, 503}
                await asyncio.sleep(0.02)


async def test_with_every_place_taken_a_batch_is_refused() -> None:
    async with batch_bench(max_uploads=1) as bench:
        forever = asyncio.Event()

        async def lines() -> AsyncIterator[bytes]:
            yield ndjson(texts(1_000))
            await forever.wait()

        held = asyncio.create_task(bench.upload(lines()))
        await until(lambda: len(bench.published()) == 1_000)
        refused = await bench.post(texts(1))
        assert (refused.status, refused.json["accepted"]) == (503, False)
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)


async def test_a_batch_that_is_canceled_takes_no_more_items(bench: Bench) -> None:
    going = asyncio.Event()

    async def lines() -> AsyncIterator[bytes]:
        yield ndjson(texts(1_000))
        await going.wait()
        yield ndjson(texts(2_000, 1_000))

    upload = asyncio.create_task(bench.upload(lines()))
    await until(lambda: len(bench.published()) == 1_000)
    [id] = bench.database.batches.documents
    assert (await bench.ask("POST", f"/v1/batches/{id}/cancel")).status == 202
    going.set()
    answer = await upload
    assert (answer.status, answer.json["type"]) == (409, "/problems/batch-closed")
    assert len(bench.published()) == 1_000


async def test_a_webhook_needs_a_secret_and_hears_of_the_ends_of_the_batch(bench: Bench) -> None:
    hook = {"url": "https://hooks.example.com/x"}
    answer = await bench.post(texts(1), webhook=hook)
    spec = (await bench.batch(answer.json["id"])).spec
    assert spec.webhook is not None
    assert spec.webhook.events == {"batch.completed", "batch.canceled", "batch.expired"}
    assert [item.webhook for item in bench.published()] == [None]
    body = {"handler": "text.stats", "inputs": texts(1), "webhook": hook}
    refused = await bench.ask("POST", "/v1/batches", json=body, tenant="globex")
    assert (refused.status, refused.json["type"]) == (409, "/problems/webhook-secret-missing")


async def test_a_reducer_on_a_queue_of_its_own_stays_there(bench: Bench) -> None:
    answer = await bench.post(texts(1), reduce={"handler": "text.merge", "field": "n"})
    assert answer.json["reduce"] == {
        "handler": "text.merge",
        "job": None,
        "status": None,
        "output": None,
        "error": None,
    }
    spec = (await bench.batch(answer.json["id"])).spec
    assert spec.reduce is not None
    assert spec.reduce.queue == "merges"


async def test_an_outage_of_the_broker_alone_is_a_503(bench: Bench) -> None:
    bench.broker.outage = Outage.UNREACHABLE
    answer = await bench.post(texts(1))
    assert (answer.status, answer.json["accepted"]) == (503, False)


async def test_a_post_may_wait_for_the_end(bench: Bench) -> None:
    async def finish() -> None:
        await until(lambda: bench.waiting.count == 1)
        [id] = bench.database.batches.documents
        await bench.merge(id, Items(succeeded=1))

    finishing = asyncio.create_task(finish())
    body = {"handler": "text.stats", "inputs": texts(1)}
    answer = await bench.ask("POST", "/v1/batches", json=body, headers={"Prefer": "wait=20"})
    await finishing
    assert (answer.status, answer.json["status"]) == (200, "completed")
    assert answer.headers["Preference-Applied"] == "wait=20"
