"""Tallies add up, and sketches tell quantiles within what they promise."""

import math

from hypothesis import given
from hypothesis import strategies as st

from shared.models.statistics import (
    MOST_MILLISECONDS,
    RELATIVE_ERROR,
    Shard,
    Step,
    Tally,
    bucket,
    decode_tallies,
    middle,
    quantile,
    together,
)

TIMES = st.one_of(st.integers(0, 5_000), st.integers(0, MOST_MILLISECONDS))
COUNTS = st.dictionaries(st.sampled_from(["submitted", "succeeded", "failed:rejected"]), st.integers(1, 50))
SKETCHES = st.dictionaries(st.integers(0, 1_200), st.integers(1, 50))
TALLIES = st.builds(Tally, COUNTS, SKETCHES, SKETCHES)
PARTS = st.dictionaries(st.sampled_from(["a", "b", "c"]), TALLIES)


def sketch(times: list[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for time in times:
        found[bucket(time)] = found.get(bucket(time), 0) + 1
    return found


@given(one=TALLIES, two=TALLIES, three=TALLIES)
def test_adding_commutes_and_is_associative(one: Tally, two: Tally, three: Tally) -> None:
    assert one + two == two + one
    assert (one + two) + three == one + (two + three)
    assert one + Tally() == one


@given(parts=st.lists(PARTS, max_size=6), seed=st.randoms())
def test_what_several_counted_adds_up_in_any_order_and_grouping(parts: list[dict[str, Tally]], seed: object) -> None:
    backwards = together(reversed(parts))
    halves = together([together(parts[: len(parts) // 2]), together(parts[len(parts) // 2 :])])
    assert together(parts) == backwards == halves


@given(times=st.lists(TIMES, min_size=1, max_size=200), share=st.floats(0, 1))
def test_a_quantile_is_within_the_error_of_the_time_of_its_rank(times: list[int], share: float) -> None:
    told = quantile(sketch(times), share)
    rank = share * (len(times) - 1)
    truth = sorted(times)[math.floor(rank)]
    assert told is not None
    assert abs(told - truth) <= max(1.0, RELATIVE_ERROR * truth * 1.000001)


@given(times=st.lists(TIMES, min_size=1, max_size=100), cut=st.integers(0, 100), share=st.floats(0, 1))
def test_merging_adds_no_error(times: list[int], cut: int, share: float) -> None:
    merged = Tally(run_time=sketch(times[:cut])) + Tally(run_time=sketch(times[cut:]))
    assert merged.run_time == sketch(times)
    assert quantile(merged.run_time, share) == quantile(sketch(times), share)


def test_nothing_has_no_quantile() -> None:
    assert quantile({}, 0.5) is None


def test_a_sketch_is_bounded() -> None:
    assert bucket(10 * MOST_MILLISECONDS) == bucket(MOST_MILLISECONDS) < 1_200
    assert middle(bucket(MOST_MILLISECONDS)) > 0.98 * MOST_MILLISECONDS


@given(tallies=PARTS)
def test_what_is_written_is_read(tallies: dict[str, Tally]) -> None:
    assert decode_tallies(Shard("id", "acme", Step.MINUTE, 0, tallies, 1).encode()) == tallies


def test_a_step_begins_where_its_span_does() -> None:
    assert Step.MINUTE.start(61_999) == 60_000
    assert Step.HOUR.start(3_600_000) == 3_600_000
