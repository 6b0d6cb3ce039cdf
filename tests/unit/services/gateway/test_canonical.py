"""Equal requests are equal bytes, and others are not."""

import random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.http.canonical import cache_key, canonical, fingerprint, scope_hash

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=25,
)


def shuffled(value: Any, rng: random.Random) -> Any:
    """The same JSON value, with the members of its objects in another order."""
    if isinstance(value, dict):
        members = list(value.items())
        rng.shuffle(members)
        return {key: shuffled(each, rng) for key, each in members}
    return [shuffled(each, rng) for each in value] if isinstance(value, list) else value


def same(one: Any, other: Any) -> bool:
    """Equal as JSON, where `1`, `1.0` and `true` are three things, and `0.0` and `-0.0` two."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


@given(values, st.randoms(use_true_random=False))
def test_the_order_of_members_does_not_matter(value: Any, rng: random.Random) -> None:
    assert canonical(shuffled(value, rng)) == canonical(value)
    assert fingerprint(shuffled(value, rng)) == fingerprint(value)


@given(values)
def test_it_says_the_same_and_is_its_own_spelling(value: Any) -> None:
    spelt = canonical(value)
    assert same(orjson.loads(spelt), value)
    assert canonical(orjson.loads(spelt)) == spelt


@given(values)
def test_however_it_was_sent_it_is_spelt_once(value: Any) -> None:
    for option in (0, orjson.OPT_INDENT_2, orjson.OPT_SORT_KEYS):
        assert canonical(orjson.loads(orjson.dumps(value, option=option))) == canonical(value)


@given(values, values)
def test_other_values_are_other_bytes(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) == same(one, other)
    assert (fingerprint(one) == fingerprint(other)) == same(one, other)


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (1, True), (0.0, -0.0), ("1", 1), (None, "null"), ([1, 2], [2, 1]), ({}, [])]
)
def test_what_a_handler_could_tell_apart_differs(one: Any, other: Any) -> None:
    assert canonical(one) != canonical(other)


@given(st.lists(st.builds(lambda *parts: parts, texts, texts, texts, values.map(canonical)), min_size=2, max_size=2))
def test_a_cache_key_tells_every_part_apart(parts: list[tuple[str, str, str, bytes]]) -> None:
    one, other = parts
    assert (cache_key(*one) == cache_key(*other)) == (one == other)


def test_parts_do_not_run_into_each_other() -> None:
    assert cache_key("ab", "c", "1", b"1") != cache_key("a", "bc", "1", b"1")
    assert scope_hash("ab", "c", "d") != scope_hash("a", "bc", "d")
    assert cache_key("a", 'b","c', "1", b"1") != cache_key("a", "b", 'c","1', b"1")


def test_keys_do_not_change_between_versions_of_the_code() -> None:
    """They outlive the processes that made them."""
    assert cache_key("acme", "h", "1", b"{}") == "64510b5d8dbdeb0d60caad2d3e81071a308ac5173ac24afeeebca12ed02db600"
    assert (
        scope_hash("acme", "POST /v1/jobs", "k") == "bd1ff274301d087448e7e872543b787ddda410a3b010303d0aa0ed03286510c1"
    )
    assert fingerprint({"b": 1, "a": [1.5, "ü"]}) == "10eeeaf6f03305a8c6e39ab5ef832bb3ae80512a20eadff9c15274e509cefce3"
