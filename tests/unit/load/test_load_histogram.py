"""The histogram against plain sorting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.load.histogram import LARGEST, Histogram, middle, slot

micros = st.integers(min_value=0, max_value=LARGEST)


def filled(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(micros)
def test_a_value_comes_back_within_the_promised_error(value: int) -> None:
    assert middle(slot(value)) == pytest.approx(value, rel=0.008, abs=0.5)


@given(micros, micros)
def test_larger_values_never_count_lower(one: int, other: int) -> None:
    assert (slot(one) <= slot(other)) or one > other


@given(st.lists(micros, min_size=1), st.sampled_from([1, 50, 99, 100]))
def test_a_percentile_is_that_of_the_sorted_values(values: list[int], percent: int) -> None:
    rank = max(-(-percent * len(values) // 100), 1)
    assert filled(values).percentile(percent) == pytest.approx(sorted(values)[rank - 1], rel=0.008, abs=0.5)


@given(st.lists(micros), micros)
def test_those_within_a_value_are_counted_to_the_width_of_a_slot(values: list[int], limit: int) -> None:
    within = filled(values).within(limit)
    assert sum(value <= limit for value in values) <= within <= sum(slot(value) <= slot(limit) for value in values)


@given(st.lists(micros), st.lists(micros))
def test_merging_is_recording_both(one: list[int], other: list[int]) -> None:
    merged = filled(one)
    merged.merge(filled(other))
    assert merged == filled(one + other)


@given(st.lists(micros))
def test_it_survives_its_travel_as_json(values: list[int]) -> None:
    assert Histogram.from_json(filled(values).to_json()) == filled(values)


def test_what_is_too_long_or_negative_is_counted_at_the_end_of_the_range() -> None:
    histogram = filled([LARGEST * 4, -3])
    assert (histogram.count, histogram.most, histogram.percentile(1)) == (2, LARGEST, 0)


def test_an_empty_one_has_no_percentile_and_no_mean() -> None:
    with pytest.raises(ValueError, match="empty"):
        Histogram().percentile(50)
    with pytest.raises(ValueError, match="empty"):
        _ = Histogram().mean
