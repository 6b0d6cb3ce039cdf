"""Uploads that broke, and were sent again: what was published is not published again, and other inputs are refused."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import aiohttp
import pytest

from shared.messaging.contract import Message
from shared.messaging.memory import Outage
from shared.models.batch import BatchStatus
from shared.models.batch_items import Items
from shared.models.batch_public import SEALED
from tests.integration.gateway.batch_bench import Bench, batch_bench, ndjson, texts, until

ONCE = {1}


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with batch_bench() as running:
        yield running


def times(bench: Bench) -> set[int]:
    """How often items were published."""
    return set(bench.often().values())


async def test_a_bad_line_ends_an_upload_and_a_better_one_goes_on(bench: Bench) -> None:
    values = texts(3_500)
    bad = ndjson(values[:2_700]) + b"{nonsense\n" + ndjson(values[2_701:])
    answer = await bench.upload(bad, key="k")
    assert (answer.status, answer.json["type"], answer.json["index"]) == (400, "/problems/invalid-request", 2_700)
    left = answer.json["batch"]
    assert (left["status"], left["counts"]["total"]) == ("open", 2_000)
    assert len(bench.published()) == 2_000
    again = await bench.upload(ndjson(values), key="k")
    assert (again.status, again.json["id"], again.json["counts"]["total"]) == (202, left["id"], 3_500)
    assert sorted(bench.often()) == list(range(3_500))
    assert times(bench) == ONCE


async def test_a_broken_upload_leaves_an_open_batch_that_the_same_key_completes(bench: Bench) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield ndjson(texts(3_300))
        await until(lambda: len(bench.published()) == 3_000)
        raise ConnectionError("the client's own trouble")

    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await bench.upload(broken(), key="k")
    [id] = bench.database.batches.documents

    async def marked() -> bool:
        return [each[2] for each in await bench.remembered(id)] == [True] * 3

    async with asyncio.timeout(10):
        while not await marked():
            await asyncio.sleep(0.01)
    assert (await bench.batch(id)).status is BatchStatus.OPEN
    answer = await bench.upload(ndjson(texts(5_000)), key="k")
    while answer.status == 409:  # the first is seen to be gone a moment later
        await asyncio.sleep(0.05)
        answer = await bench.upload(ndjson(texts(5_000)), key="k")
    assert (answer.status, answer.json["id"], answer.json["counts"]["total"]) == (202, id, 5_000)
    assert sorted(bench.often()) == list(range(5_000))
    assert times(bench) == ONCE


async def test_a_whole_batch_sent_again_is_the_same_batch(bench: Bench) -> None:
    lines = ndjson(texts(1_500))
    first = await bench.upload(lines, key="k")
    assert "Idempotency-Replayed" not in first.headers
    await bench.merge(first.json["id"], Items(succeeded=1))
    for lost in (False, True):
        if lost:
            bench.cache.stop()
        again = await bench.upload(lines.replace(b'{"text":', b' {"text" :  '), key="k")
        assert (again.status, again.headers["Idempotency-Replayed"]) == (202, "true")
        assert (again.json["id"], again.json["counts"]["succeeded"]) == (first.json["id"], 1)
    assert times(bench) == ONCE
    sealed = [event.id for event in bench.events() if event.type == SEALED]
    assert set(sealed) == {f"{first.json['id']}:{SEALED}"}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda values: values[:1_000], id="shorter"),
        pytest.param(lambda values: [*values, {"text": "more"}], id="longer"),
        pytest.param(lambda values: [*values[:1_200], {"text": "x"}, *values[1_201:]], id="another line"),
        pytest.param(lambda values: values[::-1], id="another order"),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
async def test_the_same_key_with_other_lines_is_refused(
    bench: Bench, other: Callable[[list[Any]], list[Any]], whole: bool
) -> None:
    values = texts(2_500)
    before = ndjson(values) if whole else ndjson(values) + b"broken\n"
    assert (await bench.upload(before, key="k")).status == (202 if whole else 400)
    published = len(bench.published())
    answer = await bench.upload(ndjson(other(values)), key="k")
    if whole or len(other(values)) != 2_501:  # a broken upload may go on differently behind what was published
        if not whole and other(values)[:2_000] == values[:2_000]:
            assert answer.status == 202
            return
        assert (answer.status, answer.json["type"]) == (422, "/problems/idempotency-key-reused")
        assert len(bench.published()) == published


async def test_the_same_key_with_other_options_or_another_form_is_refused(bench: Bench) -> None:
    values = texts(2)
    assert (await bench.post(values, key="k")).status == 202
    again = await bench.post(values, key="k")
    assert (again.status, again.headers["Idempotency-Replayed"]) == (202, "true")
    for answer in (
        await bench.post(values, key="k", labels={"a": "b"}),
        await bench.post(texts(3), key="k"),
        await bench.upload(ndjson(values), key="k"),
    ):
        assert (answer.status, answer.json["type"]) == (422, "/problems/idempotency-key-reused")
    assert times(bench) == ONCE


async def test_what_may_have_been_published_is_not_exchanged_for_something_else(bench: Bench) -> None:
    bench.broker.outage = Outage.MUTE  # it takes messages, and does not say so
    answer = await bench.upload(ndjson(texts(10)), key="k")
    assert (answer.status, answer.json["accepted"]) == (503, False)
    assert len(bench.published()) == 10
    assert await bench.remembered(answer.json["batch"]["id"]) == [(0, 10, False)]
    bench.broker.outage = None
    other = await bench.upload(ndjson(texts(10, 5)), key="k")
    assert (other.status, other.json["type"]) == (422, "/problems/idempotency-key-reused")
    again = await bench.upload(ndjson(texts(10)), key="k")
    assert (again.status, again.json["counts"]["total"]) == (202, 10)
    assert set(bench.often().values()) == {2}  # under the same ids: the claims make one of two


async def test_a_chunk_is_remembered_before_it_is_published(bench: Bench) -> None:
    seen = []

    async def look(_messages: Sequence[Message]) -> None:
        [id] = bench.database.batches.documents
        seen.append((await bench.remembered(id))[-1])

    bench.publisher.before = look
    assert (await bench.post(texts(3))).status == 202
    assert seen[0] == (0, 3, False)
