"""CSV profiles against the `csv` and `statistics` modules, on a real table and on random ones."""

import csv
import io
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import tables
from sluice import InvalidInput, Reject
from sluice.reports import Progress
from sluice.testing import run

ELEMENTS = (Path(tables.__file__).parent / "samples" / "elements.csv").read_text(encoding="utf-8")


async def profile(text: str) -> dict[str, Any]:
    outcome = await run("csv.profile", {"csv": text}, handlers=tables.handlers)
    assert isinstance(outcome.output, dict)
    return outcome.output


def column(profile: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (column for column in profile["columns"] if column["name"] == name)
    assert isinstance(found, dict)
    return found


def present(name: str) -> list[str]:
    return [row[name] for row in csv.DictReader(io.StringIO(ELEMENTS)) if row[name]]


async def test_a_real_table_has_its_rows_and_columns() -> None:
    found = await profile(ELEMENTS)

    assert found["rows"] == 118
    assert {column["name"]: column["type"] for column in found["columns"]} == {
        "number": "integer",
        "symbol": "string",
        "name": "string",
        "period": "integer",
        "group": "integer",
        "atomic_weight": "float",
        "phase": "string",
        "stable": "boolean",
    }


@pytest.mark.parametrize("name", ["number", "period", "group", "atomic_weight"])
async def test_numbers_of_a_real_table(name: str) -> None:
    found = column(await profile(ELEMENTS), name)
    values = [float(value) for value in present(name)]
    p25, median, p75 = statistics.quantiles(values, n=4, method="inclusive")

    assert (found["nulls"], found["distinct"]) == (118 - len(values), len(set(values)))
    assert (found["min"], found["max"]) == (min(values), max(values))
    assert found["mean"] == pytest.approx(statistics.fmean(values))
    assert found["stddev"] == pytest.approx(statistics.stdev(values))
    assert (found["p25"], found["median"], found["p75"]) == pytest.approx((p25, median, p75))


@pytest.mark.parametrize("name", ["symbol", "name", "phase"])
async def test_strings_of_a_real_table(name: str) -> None:
    found = column(await profile(ELEMENTS), name)
    values = present(name)
    ranked = sorted(Counter(values).items(), key=lambda entry: (-entry[1], entry[0]))

    assert (found["nulls"], found["distinct"]) == (118 - len(values), len(set(values)))
    assert (found["shortest"], found["longest"]) == (min(map(len, values)), max(map(len, values)))
    assert found["top"] == [{"value": value, "count": count} for value, count in ranked[:5]]


async def test_booleans_of_a_real_table() -> None:
    values = Counter(present("stable"))
    assert column(await profile(ELEMENTS), "stable") == {
        "name": "stable",
        "type": "boolean",
        "nulls": 0,
        "distinct": 2,
        "true": values["true"],
        "false": values["false"],
    }


async def test_dates_and_times() -> None:
    found = await profile(
        "day,at,moment\n2024-02-29,23:59:00,2024-02-29T12:00:00\n2023-01-01,00:00:00,2020-01-01T00:00:00\n,,\n"
    )

    assert [(each["type"], each["nulls"], each["distinct"]) for each in found["columns"]] == [
        ("date", 1, 2),
        ("time", 1, 2),
        ("datetime", 1, 2),
    ]
    assert [(each["min"], each["max"]) for each in found["columns"]] == [
        ("2023-01-01", "2024-02-29"),
        ("00:00:00", "23:59:00"),
        ("2020-01-01T00:00:00", "2024-02-29T12:00:00"),
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("-2024-01-01", "-2024-01-01"),
        ("2024-02-29T12:00:00.250", "2024-02-29T12:00:00.250"),
        ("2024-02-29T12:00:00Z", "2024-02-29T12:00:00"),
        ("2024-02-29T12:00:00+02:00", "2024-02-29T10:00:00"),
        ("23:59:59.5", "23:59:59.500"),
    ],
)
async def test_odd_dates_and_times(value: str, shown: str) -> None:
    assert column(await profile(f"a\n{value}\n"), "a")["min"] == shown


async def test_progress_is_reported_by_column() -> None:
    outcome = await run("csv.profile", {"csv": "a,b\n1,2\n"}, handlers=tables.handlers)
    assert outcome.progress == (Progress(1, 2), Progress(2, 2))


async def test_a_single_value_has_no_spread() -> None:
    found = column(await profile("a\n4\n"), "a")
    assert (found["stddev"], found["mean"], found["median"]) == (None, 4.0, 4.0)


async def test_numbers_that_json_cannot_say_count_as_missing() -> None:
    found = column(await profile("a\nNaN\ninf\n-inf\n1.5\n2.5\n"), "a")
    assert (found["nulls"], found["distinct"], found["min"], found["max"]) == (3, 2, 1.5, 2.5)

    nothing = column(await profile("a\nNaN\n"), "a")
    assert (nothing["nulls"], nothing["min"], nothing["mean"]) == (1, None, None)


async def test_sums_beyond_the_range_of_floats_are_left_out() -> None:
    found = column(await profile("a\n1.7e308\n1.7e308\n"), "a")
    assert (found["max"], found["mean"]) == (1.7e308, None)


async def test_an_empty_column_is_one_of_strings_without_any() -> None:
    found = column(await profile("a,b\n1,\n2,\n"), "b")
    assert (found["type"], found["nulls"], found["shortest"], found["top"]) == ("string", 2, None, [])


@pytest.mark.parametrize(
    "text",
    ["a,b\r\n1,x\r\n2,y\r\n", "\ufeffa,b\n1,x\n2,y", "a,b\n1,x\n2,y\n\n\n", 'a,"b"\n1,"x"\n2,"y"\n'],
    ids=["windows", "byte order mark", "blank lines at the end", "quotes"],
)
async def test_one_table_in_many_spellings(text: str) -> None:
    assert await profile(text) == await profile("a,b\n1,x\n2,y\n")


async def test_a_blank_line_is_a_missing_value_where_there_is_one_column() -> None:
    found = await profile("a\n1\n\n2\n")
    assert (found["rows"], column(found, "a")["nulls"]) == (3, 1)


async def test_a_byte_order_mark_may_precede_a_quoted_name() -> None:
    found = await profile('\ufeff"a,b",c\n1,2\n')
    assert [each["name"] for each in found["columns"]] == ["a,b", "c"]


async def test_quoted_fields_may_hold_what_separates() -> None:
    found = await profile('a,b\n"x,y","two\nlines"\n"say ""hi""",z\n')

    assert found["rows"] == 2
    assert [entry["value"] for entry in column(found, "a")["top"]] == ['say "hi"', "x,y"]
    assert column(found, "b")["longest"] == 9


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the table is empty"),
        ("\n\n", "the table is empty"),
        ("\na,b\n1,2\n", "the table is empty, or its first line"),
        ("a,b\n", "a header but no rows"),
        ("a,b\n1,2\n3\n", "line 3 has 1 fields where the header has 2"),
        ("a,b\n1,2,3\n", "line 2 has 3 fields where the header has 2"),
        ("a,b\n1,2\n\n3,4\n", "line 3 has 0 fields where the header has 2"),
        ("a,,c\n1,2,3\n", "column 2 has no name"),
        ("a,b,a\n1,2,3\n", "columns 1 and 3 have the same name"),
        ('a,b\n"1,2\n', "line 2 is malformed: unexpected end of data"),
        ('a,b\n"1"x,2\n', "line 2 is malformed: ',' expected after"),
        ("a,b\r1,2\r", "it is not clear where the rows end|cannot be read"),
        (f"a\n{'x' * 140_000}\n", "line 2 is malformed: field larger than field limit"),
        (",".join(f"c{n}" for n in range(1_001)) + "\n", "the table has 1001 columns"),
    ],
)
async def test_tables_that_cannot_be_read(text: str, words: str) -> None:
    with pytest.raises(Reject, match=words):
        await profile(text)


@pytest.mark.parametrize("input", [{}, {"csv": 1}, {"csv": "a\n1\n", "separator": ";"}])
async def test_inputs_that_do_not_fit(input: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await run("csv.profile", input, handlers=tables.handlers)


names = st.lists(st.text("abcdef", min_size=1, max_size=6), min_size=1, max_size=4, unique=True)
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\x85\u2028\u2029"))
cells = st.integers(-(2**62), 2**62).map(str) | words.map(lambda word: f"w{word}")


@st.composite
def random_tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    header = draw(names)
    rows = draw(st.lists(st.lists(cells, min_size=len(header), max_size=len(header)), min_size=1, max_size=8))
    return header, rows


@given(random_tables())
def test_any_table_that_is_written_well_is_read(table: tuple[list[str], list[list[str]]]) -> None:
    header, rows = table
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    frame = tables._read(text.getvalue())

    assert (frame.columns, frame.height) == (header, len(rows))
    for place, series in enumerate(frame):
        values = [row[place] for row in rows]
        found = tables._describe(series)
        if all(value.lstrip("-").isdecimal() and value.isascii() for value in values):
            assert isinstance(found, tables.NumberColumn)
            assert (found.min, found.max) == (min(map(int, values)), max(map(int, values)))
        else:
            assert isinstance(found, tables.StringColumn)
            assert (found.distinct, found.longest) == (len(set(values)), max(map(len, values)))


@given(st.text('ab1,."\n\r\t ', max_size=40))
def test_any_text_is_profiled_or_rejected(text: str) -> None:
    try:
        frame = tables._read(text)
    except Reject:
        return
    for series in frame:
        tables._describe(series)
