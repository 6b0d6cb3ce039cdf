"""Inputs of batches: the same chunks however their bytes come, and options that say the same in body and query."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.batches.inputs import ListedInputs, StreamedInputs
from services.gateway.batches.lines import lines
from services.gateway.batches.requests import MAX_REDUCE_BYTES, options_of, parse_batch, parse_options
from services.gateway.http.problems import Problem
from shared.models.batch import CHUNK_BYTES, CHUNK_ITEMS, Chunk
from tests.unit.services.gateway.backends import SETTINGS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=3),
    max_leaves=5,
)


def arriving(pieces: Sequence[bytes]) -> web.Request:
    """A request whose body comes in these pieces."""
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    for piece in pieces:
        stream.feed_data(piece)
    stream.feed_eof()
    return make_mocked_request("POST", "/", payload=stream)


async def chunks_of(inputs: ListedInputs | StreamedInputs) -> list[Chunk]:
    return [draft.chunk() async for draft in inputs.drafts(None)]


def cut(whole: bytes, places: Sequence[int]) -> list[bytes]:
    ends = sorted(min(place, len(whole)) for place in places)
    return [whole[start:end] for start, end in zip([0, *ends], [*ends, len(whole)], strict=True)]


@given(texts=st.lists(st.binary(max_size=20).map(lambda raw: raw.replace(b"\n", b" ")), max_size=20), data=st.data())
async def test_lines_are_lines_however_they_come(texts: list[bytes], data: st.DataObject) -> None:
    whole = b"\n".join(texts)
    places = data.draw(st.lists(st.integers(0, len(whole)), max_size=10))
    found = [
        line async for some in lines(arriving(cut(whole, places)), max_bytes=100, silence_seconds=5) for line in some
    ]
    assert found == [text.strip() for text in texts if text.strip()]


@given(values=st.lists(JSON, min_size=1, max_size=30), places=st.lists(st.integers(0, 500), max_size=6))
async def test_equal_inputs_are_equal_chunks_however_they_are_written(values: list[Any], places: list[int]) -> None:
    compact = b"\n".join(map(orjson.dumps, values)) + b"\n"
    spaced = b"".join(
        b"  " + orjson.dumps(value, option=orjson.OPT_SORT_KEYS).replace(b"\n", b"") + b" \r\n" for value in values
    )
    listed = await chunks_of(ListedInputs(SETTINGS, values))
    for whole in (compact, spaced):
        assert await chunks_of(StreamedInputs(SETTINGS, arriving(cut(whole, places)))) == listed


async def test_chunks_are_cut_by_number_and_by_size() -> None:
    small = await chunks_of(ListedInputs(SETTINGS, list(range(2_500))))
    assert [(each.number, each.first, each.items) for each in small] == [
        (0, 0, CHUNK_ITEMS),
        (1, CHUNK_ITEMS, CHUNK_ITEMS),
        (2, 2 * CHUNK_ITEMS, 500),
    ]
    large = await chunks_of(ListedInputs(SETTINGS, ["x" * 50_000] * 100))
    assert [each.items for each in large] == [CHUNK_BYTES // 50_002 + 1] * 2 + [20]
    assert [each.first for each in large] == [0, large[0].items, 2 * large[0].items]


async def test_other_inputs_are_other_chunks() -> None:
    hashes = set()
    for values in ([1, 2], [2, 1], [1, 2, 3], ["1", "2"], [[1, 2]], [12], [1.0, 2]):
        [chunk] = await chunks_of(ListedInputs(SETTINGS, values))
        hashes.add(chunk.hash)
    assert len(hashes) == 7


BODY = {
    "handler": "text.stats",
    "labels": {"team": "a", "x": "1"},
    "timeout_seconds": 2.5,
    "max_attempts": 3,
    "expires_in_seconds": 60,
    "reduce": {"handler": "sum", "field": "n"},
    "webhook": {"url": "https://hooks.example.com", "events": ["batch.completed"]},
}


def test_a_query_says_what_a_body_says() -> None:
    query = {
        "handler": "text.stats",
        "label.team": "a",
        "label.x": "1",
        "timeout_seconds": "2.5",
        "max_attempts": "3",
        "expires_in_seconds": "60",
        "reduce": '{"handler": "sum", "field": "n"}',
        "webhook": '{"url": "https://hooks.example.com", "events": ["batch.completed"]}',
    }
    assert options_of(query) == BODY
    request, inputs = parse_batch({**BODY, "inputs": [1]})
    assert inputs == [1]
    assert parse_options(options_of(query)) == request


def test_the_short_forms_name_the_reducer_and_the_url() -> None:
    request = parse_options(options_of({"handler": "h", "reduce": "sum", "webhook": "https://a.example"}))
    assert request.reduce is not None
    assert (request.reduce.handler, request.reduce.options) == ("sum", {})
    assert request.webhook is not None
    assert len(request.webhook.events) == 3


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"handler": ""},
        {"handler": "h", "inputs": "[1]"},
        {"handler": "h", "timeout_seconds": "soon"},
        {"handler": "h", "max_attempts": "1.5"},
        {"handler": "h", "max_attempts": "0"},
        {"handler": "h", "labels": "a"},
        {"handler": "h", "labels": "a", "label.b": "c"},
        {"handler": "h", "reduce": "{"},
        {"handler": "h", "reduce": '{"field": "n"}'},
        {"handler": "h", "webhook": '{"url": 1}'},
        {"handler": "h", "expires_in_seconds": "1000000"},
        {"handler": "h", "reduce": orjson.dumps({"handler": "s", "x": "y" * MAX_REDUCE_BYTES}).decode()},
    ],
)
def test_what_cannot_be_read_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(Problem) as refusal:
        parse_options(options_of(query))
    assert refusal.value.type.status in {400, 422}
    assert refusal.value.errors
