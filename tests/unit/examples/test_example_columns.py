"""Figures of a large table cut into parts, against the standard library on all of it."""

import statistics
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import columns
from sluice import Reject
from sluice.testing import FAILED, reduce, run
from tests.unit.examples.tables_made import measurements

ELEMENTS = Path(columns.__file__).parent / "samples" / "elements.csv"


async def measured(part: str) -> Any:
    return (await run("columns.measure", {"csv": part}, handlers=columns.handlers)).output


async def merged(parts: Sequence[object]) -> Any:
    return (await reduce("columns.merge", parts, handlers=columns.handlers)).output


async def test_a_large_table_gives_the_figures_of_one_pass() -> None:
    lines = list(measurements(10_000))
    parts = list(columns.cut(lines, 20_000))
    assert len(parts) > 10
    found = await merged([await measured(part) for part in parts])
    levels = [Fraction(line.split(",")[1]) for line in lines[1:]]
    counts = [int(cell) for line in lines[1:] if (cell := line.split(",")[2])]
    level, count, remark = found["columns"][1:]
    assert found["rows"] == 10_000
    assert (level["mean"], level["numbers"]) == (float(statistics.mean(levels)), 10_000)
    assert level["stddev"] == pytest.approx(float(statistics.stdev(levels)), rel=1e-14)
    assert Fraction(level["sum"]) == sum(levels)
    assert (level["min"], level["max"]) == (float(min(levels)), float(max(levels)))
    assert (int(Decimal(count["sum"])), count["numbers"], count["missing"]) == (
        sum(counts),
        len(counts),
        10_000 - len(counts),
    )
    assert (remark["texts"], remark["numbers"]) == (sum("12" not in line[-4:] for line in lines[1:]), remark["numbers"])
    assert remark["mean"] == 12.0


@given(
    cells=st.lists(st.decimals(-(10**9), 10**9, places=4).map(str) | st.sampled_from(["", "x", "1e2"]), min_size=1),
    size=st.integers(1, 40),
)
@settings(max_examples=40)
async def test_it_does_not_matter_where_a_table_is_cut(cells: list[str], size: int) -> None:
    lines = ["a,b\n", *(f"{cell},\n" for cell in cells)]
    parts = [await measured(part) for part in columns.cut(lines, size)]
    whole = await merged([await measured("".join(lines))])
    assert {**await merged(parts), "parts": 1} == whole


async def test_parts_that_could_not_be_read_are_told_and_foreign_ones_refused() -> None:
    one, other = await measured("a,b\n1,x\n"), await measured("a,c\n1,x\n")
    found = await merged([one, FAILED, one])
    assert (found["parts"], found["missing_parts"], found["rows"]) == (2, 1, 2)
    with pytest.raises(Reject, match="part 2 has other columns"):
        await merged([one, FAILED, other])
    assert (await merged([]))["columns"] == []


@pytest.mark.parametrize(("part", "words"), [("", "no header"), ("a,b\n1\n", "row 1 of the part has 1 fields")])
async def test_a_part_that_is_no_table_is_refused(part: str, words: str) -> None:
    with pytest.raises(Reject, match=words):
        await measured(part)


async def test_numbers_that_nobody_measures_are_texts() -> None:
    part = await measured("a\nNaN\ninf\n1e5000\n" + "1" * 41 + "\n0.1\n")
    assert (part["columns"][0]["texts"], part["columns"][0]["numbers"]) == (4, 1)


def test_the_program_writes_a_line_for_each_part() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.columns", ELEMENTS], capture_output=True, check=True, timeout=60
    )
    [line] = done.stdout.splitlines()
    assert orjson.loads(line)["csv"] == ELEMENTS.read_text(encoding="utf-8")
