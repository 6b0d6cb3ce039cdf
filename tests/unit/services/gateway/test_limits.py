"""Strict JSON, bounded in depth and keys."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.http.limits import MAX_DEPTH, MAX_KEYS, parse_json
from services.gateway.http.problems import Problem

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=30,
)


@given(json_values, st.booleans())
def test_every_json_value_within_the_limits_is_taken(value, spaced) -> None:  # type: ignore[no-untyped-def]
    body = json.dumps(value, indent=2).encode() if spaced else orjson.dumps(value)
    assert parse_json(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"NaN",
        b'{"a":Infinity}',
        b'{"a":1,"a":2}',
        b'{"x":[{"a":1, "a" : 1}]}',
        rb'{"a":1,"\u0061":2}',
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b"[" * 100_000,
        orjson.dumps({str(n): 0 for n in range(MAX_KEYS + 1)}),
        b'"\xff"',
        b"{'a':1}",
        b"01",
    ],
)
def test_everything_else_is_400(body: bytes) -> None:
    with pytest.raises(Problem) as refusal:
        parse_json(body)
    assert refusal.value.type.status == 400


def test_the_limits_themselves_are_taken() -> None:
    deep = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    parse_json(deep)
    parse_json(orjson.dumps({str(n): 0 for n in range(MAX_KEYS)}))


@pytest.mark.parametrize("text", ['a":1', '\\":', '{"a":1,"a":1}', '"', "\\"])
def test_what_only_looks_like_a_key_is_not_counted(text: str) -> None:
    assert parse_json(orjson.dumps({"k": text, "l": [text, text]}))["k"] == text
