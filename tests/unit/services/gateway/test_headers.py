"""The headers that change an answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.http.headers import entity_tag, idempotency_key, known_order, wait_seconds
from services.gateway.http.problems import Problem


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ([], None),
        (["wait=10"], 10),
        (["respond-async, wait=5"], 5),
        (["respond-async", "Wait = 5"], 5),
        (['wait="7"'], 7),
        (["wait=0"], 1),
        (["wait=100000"], 60),
        (["wait=-1"], None),
        (["wait=abc"], None),
        (["wait"], None),
        (["await=3"], None),
        (["wait=5; strict"], 5),
    ],
)
def test_wait(prefer: list[str], seconds: int | None) -> None:
    assert wait_seconds(prefer) == seconds


@given(st.integers(0, 2**40))
def test_an_entity_tag_reads_back(order: int) -> None:
    assert known_order(entity_tag(order)) == order
    assert known_order(f"W/{entity_tag(order)}") == order


@pytest.mark.parametrize(
    ("header", "order"), [(None, None), ("", None), ("*", None), ('"zz"', None), ('"1", "ff", "x"', 255), ("ff", None)]
)
def test_only_our_tags_count(header: str | None, order: int | None) -> None:
    assert known_order(header) == order


VISIBLE = "".join(map(chr, range(0x21, 0x7F)))


@given(st.text(VISIBLE, min_size=1, max_size=255))
def test_a_key_is_taken_as_it_is(key: str) -> None:
    assert idempotency_key([key]) == key


def test_no_key_is_none() -> None:
    assert idempotency_key([]) is None


@given(st.text(max_size=300).filter(lambda text: not 1 <= len(text) <= 255 or not set(text) <= set(VISIBLE)))
def test_anything_else_is_400(key: str) -> None:
    with pytest.raises(Problem) as refusal:
        idempotency_key([key])
    assert refusal.value.type.status == 400


@pytest.mark.parametrize("keys", [["a", "a"], ["a", "b"], [""], ["a\n"], ["k" * 256], ["ä"], ["\udce4"]])
def test_malformed_or_several_keys_are_400(keys: list[str]) -> None:
    with pytest.raises(Problem) as refusal:
        idempotency_key(keys)
    assert refusal.value.type.status == 400


@given(st.text(max_size=200))
def test_no_header_breaks_the_reading(text: str) -> None:
    known_order(text)
    wait_seconds([text])
