"""What a batch may be, over a real socket: everything beyond is refused, with nothing left of it."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.models.batch import BatchStatus
from tests.integration.gateway.batch_bench import Bench, batch_bench, ndjson, texts, until


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with batch_bench() as running:
        yield running


async def test_a_client_that_says_nothing_is_given_up() -> None:
    async with batch_bench(silence_seconds=0.2) as bench:
        forever = asyncio.Event()

        async def lines() -> AsyncIterator[bytes]:
            yield ndjson(texts(1_500))
            await forever.wait()

        answer = await bench.upload(lines())
        assert (answer.status, answer.json["type"]) == (408, "/problems/request-timeout")
        assert answer.json["batch"]["counts"]["total"] == 1_000


LIMITS = {"max_line_bytes": 100, "max_batch_items": 5, "max_batch_bytes": 2_000}
LONG = {"text": "x" * 200}


@pytest.mark.parametrize(
    ("lines", "status", "slug"),
    [
        (b"", 422, "out-of-range"),
        (b"\n \n\r\n", 422, "out-of-range"),
        (ndjson(texts(6)), 413, "too-large"),
        (ndjson([LONG]), 413, "too-large"),
        (b'{"text":"' + b"x" * 5_000, 413, "too-large"),
        (b'{"text":"a","text":"b"}\n', 400, "invalid-request"),
        (b'{"text":NaN}\n', 400, "invalid-request"),
        (b"\xff\n", 400, "invalid-request"),
        (b"[" * 49 + b"]" * 49 + b"\n", 422, "invalid-input"),
        (b'{"text":"a"} {"text":"b"}\n', 400, "invalid-request"),
    ],
)
async def test_lines_have_limits(lines: bytes, status: int, slug: str) -> None:
    async with batch_bench(**LIMITS) as bench:
        answer = await bench.upload(lines)
        assert (answer.status, answer.json["type"]) == (status, f"/problems/{slug}"), answer.body
        assert bench.published() == []


async def test_blank_lines_and_carriage_returns_count_for_nothing(bench: Bench) -> None:
    answer = await bench.upload(b'\r\n{"text":"a"}\r\n\n  {"text":"b"}  \n\n')
    assert answer.json["counts"]["total"] == 2
    assert sorted(spec.input for spec in bench.published()) == [b'{"text":"a"}', b'{"text":"b"}']


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        ({"handler": "text.stats", "inputs": []}, 422, "out-of-range"),
        ({"handler": "text.stats", "inputs": {}}, 400, "invalid-request"),
        ({"handler": "text.stats"}, 400, "invalid-request"),
        ({"handler": "text.stats", "inputs": [1], "input": 1}, 400, "invalid-request"),
        ({"handler": "none.such", "inputs": [1]}, 404, "unknown-handler"),
        ({"handler": "text.stats", "inputs": texts(6)}, 413, "too-large"),
        ({"handler": "text.stats", "inputs": [LONG]}, 413, "too-large"),
        ({"handler": "text.stats", "inputs": [LONG] * 20}, 413, "too-large"),
        ({"handler": "text.stats", "inputs": texts(1), "reduce": {"handler": "none"}}, 404, "unknown-handler"),
        ({"handler": "text.stats", "inputs": texts(1), "reduce": {"handler": "text.stats"}}, 422, "unknown-reducer"),
        ({"handler": "text.stats", "inputs": texts(1), "reduce": {"handler": "sum"}}, 422, "invalid-input"),
        ({"handler": "text.stats", "inputs": texts(1), "reduce": "sum"}, 400, "invalid-request"),
        ({"handler": "sum", "inputs": texts(1)}, 422, "reducer"),
        ({"handler": "text.stats", "inputs": texts(1), "webhook": {"url": "https://127.0.0.1"}}, 422, "destination"),
        (
            {"handler": "text.stats", "inputs": texts(1), "webhook": {"url": "https://a.de", "events": ["job.failed"]}},
            400,
            "invalid-request",
        ),
    ],
)
async def test_json_has_limits(body: dict[str, Any], status: int, slug: str) -> None:
    async with batch_bench(**LIMITS) as bench:
        answer = await bench.ask("POST", "/v1/batches", json=body)
        assert answer.status == status, answer.body
        assert answer.json["type"].startswith(f"/problems/{slug}")
        assert bench.published() == []
        assert bench.database.batches.documents == {}


async def test_compressed_bodies_and_other_kinds_are_refused(bench: Bench) -> None:
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    packed = gzip.compress(ndjson(texts(1)))
    for answer in (
        await bench.ask("POST", "/v1/batches?handler=text.stats", data=packed, headers=headers),
        await bench.ask("POST", "/v1/batches", data=b"a", headers={"Content-Type": "text/plain"}),
    ):
        assert answer.status == 415
    assert (await bench.upload(b"", query="handler=text.stats&nonsense=1")).status == 400
    assert (await bench.upload(b"", query="handler=text.stats&handler=b")).status == 400


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"zz\r\nnonsense\r\n", id="no chunk at all"),
        pytest.param(b"5\r\nabcdefgh\r\n", id="a chunk longer than it says"),
    ],
)
async def test_a_body_that_is_no_http_ends_the_upload(rest: bytes) -> None:
    async with batch_bench(silence_seconds=0.3) as bench:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(bench.url.rsplit(":", 1)[1]))
        lines = ndjson(texts(1_200))
        head = (
            "POST /v1/batches?handler=text.stats HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            f"Content-Type: application/x-ndjson\r\nAuthorization: Bearer {bench.tokens['acme']}\r\n\r\n"
        )
        writer.write(head.encode() + b"%x\r\n%b\r\n" % (len(lines), lines))
        await until(lambda: bool(bench.published()))
        writer.write(rest)
        async with asyncio.timeout(10):
            answered = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        assert answered.split(b" ")[1] in {b"400", b"408"}
        states = [await bench.batch(id) for id in bench.database.batches.documents]
        assert {state.status for state in states} <= {BatchStatus.OPEN}
