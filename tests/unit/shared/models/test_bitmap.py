"""Sets of item numbers: they are sets."""

from hypothesis import given
from hypothesis import strategies as st

from shared.models import bitmap

SETS = st.frozensets(st.integers(0, 3_000), max_size=200)


@given(numbers=SETS)
def test_a_set_has_the_members_that_it_is_made_of(numbers: frozenset[int]) -> None:
    bits = bitmap.of(numbers)
    assert list(bitmap.members(bits)) == sorted(numbers)
    assert bits.bit_count() == len(numbers)


@given(numbers=st.lists(st.integers(0, 500)))
def test_twice_and_in_any_order_is_once(numbers: list[int]) -> None:
    assert bitmap.of(numbers) == bitmap.of(sorted(set(numbers), reverse=True))


@given(left=SETS, right=SETS)
def test_merging_is_the_union(left: frozenset[int], right: frozenset[int]) -> None:
    assert bitmap.of(left) | bitmap.of(right) == bitmap.of(left | right)


@given(numbers=SETS, start=st.integers(0, 3_100))
def test_members_from_a_start_on(numbers: frozenset[int], start: int) -> None:
    assert list(bitmap.members(bitmap.of(numbers), start)) == sorted(number for number in numbers if number >= start)


@given(numbers=SETS)
def test_what_is_written_is_read(numbers: frozenset[int]) -> None:
    bits = bitmap.of(numbers)
    assert bitmap.from_bytes(bitmap.to_bytes(bits)) == bits


@given(count=st.integers(0, 3_000))
def test_a_full_set_has_everything_below_its_size(count: int) -> None:
    assert list(bitmap.members(bitmap.full(count))) == list(range(count))


def test_a_hundred_thousand_items_are_12_500_bytes() -> None:
    assert len(bitmap.to_bytes(bitmap.full(100_000))) == 12_500
