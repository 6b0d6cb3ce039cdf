"""The built-in reducers against direct computation, in fractions where floats would round; and what they refuse."""

import math
import statistics
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice import InvalidInput, OutputTooLarge, Reject
from sluice.reducers import built_in
from sluice.testing import FAILED, reduce

DOUBLES = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = st.lists(DOUBLES | st.integers(-(10**40), 10**40), min_size=1, max_size=60)


async def answer(name: str, outputs: Sequence[object], **options: Any) -> Any:
    return (await reduce(name, outputs, options)).output


def rounded(exact: Fraction) -> float | None:
    try:
        return float(exact)
    except OverflowError:
        return None


@given(numbers=NUMBERS)
@settings(max_examples=60)
async def test_sums_and_means_are_exact_but_for_one_rounding(numbers: list[int | float]) -> None:
    exact = sum(map(Fraction, numbers), Fraction())
    mean = rounded(exact / len(numbers))
    whole = all(isinstance(number, int) for number in numbers)
    total = int(exact) if whole else rounded(exact)
    if total is None:
        with pytest.raises(Reject, match="larger than any number"):
            await answer("sum", numbers)
    else:
        found = await answer("sum", numbers)
        assert found == total
        assert isinstance(found, int) == whole
    assert await answer("mean", numbers) == mean


async def test_sums_do_not_drift() -> None:
    assert await answer("sum", [0.1] * 1_000) == math.fsum([0.1] * 1_000)
    assert await answer("sum", [1e300, 1.0, -1e300]) == 1.0
    assert await answer("sum", [5e-324] * 3) == 1.5e-323
    assert await answer("sum", [2**63, 1]) == 2**63 + 1


@given(numbers=NUMBERS)
@settings(max_examples=40)
async def test_the_smallest_and_the_largest_are_numbers_that_were_there(numbers: list[int | float]) -> None:
    assert await answer("min", numbers) == min(numbers)
    assert await answer("max", numbers) == max(numbers)


async def test_of_nothing_there_is_no_figure_but_a_sum() -> None:
    assert await answer("sum", [FAILED]) == 0
    assert [await answer(name, [FAILED]) for name in ("mean", "min", "max")] == [None] * 3
    assert await answer("count", [FAILED]) == 0
    assert await answer("collect", []) == []
    assert await answer("quantiles", [], q=[0.5]) == [{"q": 0.5, "value": None}]
    assert await answer("histogram", []) == {"edges": [], "counts": [], "below": 0, "above": 0}


async def test_count_counts_items_or_those_that_have_the_field() -> None:
    outputs = [{"a": 1}, {"a": None}, {}, FAILED, "text", {"a": 0}]
    assert await answer("count", outputs) == 5
    assert await answer("count", outputs, field="/a") == 2
    assert await answer("count", [*outputs, None], field="") == 5


@pytest.mark.parametrize(
    ("field", "output"),
    [
        ("", 7),
        ("/count", {"count": 7}),
        ("/a/b", {"a": {"b": 7}}),
        ("/rows/1/0", {"rows": [0, [7]]}),
        ("/a~1b~0/", {"a/b~": {"": 7}}),
        ("/~01", {"~1": 7}),
    ],
)
async def test_a_pointer_finds_its_value(field: str, output: Any) -> None:
    assert await answer("sum", [output], field=field) == 7


@pytest.mark.parametrize("output", [{}, {"a": None}, {"a": {}}, [], "a", None, {"a": {"b": None}}])
async def test_what_is_missing_names_the_first_item_or_is_left_out(output: Any) -> None:
    outputs = [FAILED, {"a": {"b": 1}}, output, {"a": {"b": 2}}, output]
    for name in ("sum", "mean", "min", "max", "histogram", "quantiles", "collect"):
        with pytest.raises(Reject, match="item 2 has nothing at /a/b"):
            await answer(name, outputs, field="/a/b")
    assert await answer("collect", outputs, field="/a/b", skip_missing=True) == [1, 2]
    assert await answer("mean", outputs, field="/a/b", skip_missing=True) == 1.5


@pytest.mark.parametrize("index", ["-1", "01", "2", "-", "x", "", "²"])
async def test_what_is_no_index_of_an_array_finds_nothing_there(index: str) -> None:
    with pytest.raises(Reject, match="has nothing at"):
        await answer("sum", [[1, 2]], field=f"/{index}")


@pytest.mark.parametrize(
    ("output", "kind"), [("secret", "a string"), (True, "a boolean"), ([5], "an array"), ({"b": 1}, "an object")]
)
async def test_what_is_no_number_is_said_without_quoting_it(output: Any, kind: str) -> None:
    for name in ("sum", "mean", "min", "max", "histogram", "quantiles"):
        with pytest.raises(Reject) as refused:
            await answer(name, [{"a": 1}, {"a": output}], field="/a", skip_missing=True)
        assert str(refused.value) == f"The output of item 1 has no number at /a, but {kind}"


@given(numbers=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=80), bins=st.integers(1, 20))
@settings(max_examples=60)
async def test_every_number_is_in_the_bin_that_its_edges_say(numbers: list[float], bins: int) -> None:
    found = await answer("histogram", numbers, bins=bins)
    edges = found["edges"]
    assert len(edges) == bins + 1
    assert edges == sorted(edges)
    assert (found["below"], found["above"], sum(found["counts"])) == (0, 0, len(numbers))
    if len(set(edges)) == len(edges):
        expected = [sum(low <= n < high for n in numbers) for low, high in pairwise(edges)]
        expected[-1] += numbers.count(edges[-1])
        assert found["counts"] == expected
    if min(numbers) < max(numbers):
        assert (edges[0], edges[-1]) == (min(numbers), max(numbers))


async def test_a_histogram_with_edges_of_ones_own() -> None:
    found = await answer("histogram", [-1, 0, 0.5, 1, 2, 10, 10.5], bins=[0, 1, 10])
    assert found == {"edges": [0.0, 1.0, 10.0], "counts": [2, 3], "below": 1, "above": 1}
    assert (await answer("histogram", [3, 3]))["counts"][5] == 2
    with pytest.raises(Reject, match="above the one before"):
        await answer("histogram", [1], bins=[0, 0])
    wide = await answer("histogram", [-1.7e308, 1.7e308], bins=2)
    assert wide["edges"] == [-1.7e308, 0.0, 1.7e308]


@given(numbers=st.lists(st.integers(-1_000, 1_000), min_size=2, max_size=60))
@settings(max_examples=60)
async def test_quantiles_are_those_of_the_standard_library(numbers: list[int]) -> None:
    tenths = [round(n / 10, 1) for n in range(1, 10)]
    expected = statistics.quantiles(map(Fraction, numbers), n=10, method="inclusive")
    found = await answer("quantiles", numbers, q=[0, *tenths, 1])
    assert [each["q"] for each in found] == [0.0, *tenths, 1.0]
    assert [each["value"] for each in found] == [float(min(numbers)), *map(float, expected), float(max(numbers))]


async def test_a_number_beyond_doubles_is_refused_where_doubles_are_kept() -> None:
    assert await answer("max", [10**400]) == 10**400
    for name in ("quantiles", "histogram"):
        with pytest.raises(Reject, match="larger than any double"):
            await answer(name, [10**400])
    with pytest.raises(Reject, match="too large"):
        await answer("sum", [b"1e999"])


async def test_collect_gives_the_values_in_order_up_to_its_limit() -> None:
    outputs = [{"n": n} for n in range(250)]
    assert await answer("collect", outputs) == outputs
    assert await answer("collect", outputs, field="/n", limit=120) == list(range(120))
    assert await answer("collect", [None, 1, {"a": [2.50]}], skip_missing=True) == [1, {"a": [2.5]}]


async def test_collect_stops_before_it_holds_more_than_anyone_could_keep() -> None:
    with pytest.raises(OutputTooLarge, match="up to item 15"):
        await answer("collect", ["x" * 65_536] * 1_000)


async def test_progress_is_told_on_the_way_and_at_the_end() -> None:
    progress = (await reduce("sum", [1] * 600)).progress
    assert [(each.done, each.total) for each in progress] == [(256, 600), (512, 600), (600, 600)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sum", {"field": "count"}),
        ("sum", {"field": "/a~2"}),
        ("sum", {"feild": "/a"}),
        ("count", {"skip_missing": True}),
        ("histogram", {"bins": 0}),
        ("histogram", {"bins": [1]}),
        ("histogram", {"bins": "many"}),
        ("quantiles", {"q": []}),
        ("quantiles", {"q": [1.5]}),
        ("collect", {"limit": 0}),
    ],
)
async def test_options_that_mean_nothing_are_refused_by_the_schema_and_by_the_reducer(
    name: str, options: dict[str, Any]
) -> None:
    schema = built_in()[name].input_schema()
    assert not jsonschema_rs.Draft202012Validator(schema).is_valid(options)
    with pytest.raises(InvalidInput):
        await answer(name, [1], **options)


@pytest.mark.parametrize("name", sorted(built_in()))
def test_each_has_a_description_and_every_option_too_and_needs_none(name: str) -> None:
    definition = built_in()[name]
    assert definition.description
    schema = definition.input_schema()
    assert all(option.get("description") for option in schema["properties"].values())
    assert jsonschema_rs.Draft202012Validator(schema).is_valid({})
