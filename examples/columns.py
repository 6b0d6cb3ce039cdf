"""Statistics of the columns of a large CSV: a batch of its parts, and figures of the whole that are exact.

    python -m examples.columns measurements.csv > parts.ndjson       parts of some 50 KB, each with the header

Posted to `/v1/batches` with the handler `columns.measure` and `"reduce": {"handler": "columns.merge"}`.

A part is summed up in what can be added to that of others: counts, sums, sums of squares. These are decimal numbers
without any rounding, as the cells are, so the means and deviations of the whole do not depend on where it was cut, and
nothing is lost where values are large and differ little, which is where sums of squares in floats go wrong.
"""

import csv
import io
import math
import sys
from collections.abc import Iterable, Iterator
from decimal import Context, Decimal, Inexact, InvalidOperation, localcontext
from fractions import Fraction
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict

from sluice import Handlers, Outputs, Reject

handlers = Handlers()

PART_BYTES = 50_000
"""Of rows in a part; a line of a batch may have 64 KiB."""
MAX_DIGITS, MAX_EXPONENT = 40, 100
"""Of a cell that is taken for a number."""

_EXACT = Context(prec=2_000, traps=[Inexact, InvalidOperation])
"""Room for every sum of squares of such numbers; what would be rounded raises."""


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    csv: str
    """Comma separated, with the header line of the whole."""


class Tally(BaseModel):
    """What of a column can be added up."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    missing: int = 0
    """Empty cells."""
    texts: int = 0
    """Cells that hold no number."""
    numbers: int = 0
    sum: Decimal = Decimal(0)
    squares: Decimal = Decimal(0)
    min: Decimal | None = None
    max: Decimal | None = None


class Measured(BaseModel):
    rows: int
    columns: list[Tally]


class Column(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    missing: int
    texts: int
    numbers: int
    sum: Decimal
    """Exact."""
    mean: float | None
    stddev: float | None
    """Of a sample: divided by n - 1. Null for fewer than two numbers."""
    min: float | None
    max: float | None


class Whole(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    rows: int
    parts: int
    missing_parts: int
    """Parts that could not be read, which the figures are without."""
    columns: list[Column]


@handlers.on("columns.measure", timeout=60, max_attempts=3, run_in="process")
def measure(input: Part) -> Measured:
    """Sums up the columns of one part of a table."""
    rows = csv.reader(io.StringIO(input.csv, newline=""), strict=True)
    header = next(rows, [])
    if not header:
        raise Reject("the part has no header line")
    columns, count = [Tally(name=name) for name in header], 0
    with localcontext(_EXACT):
        for count, row in enumerate(rows, 1):
            if len(row) != len(header):
                raise Reject(f"row {count} of the part has {len(row)} fields where the header has {len(header)}")
            for tally, cell in zip(columns, row, strict=True):
                _count(tally, cell)
    return Measured(rows=count, columns=columns)


@handlers.reduce("columns.merge")
async def merge(outputs: Outputs[Measured]) -> Whole:
    """Adds up the parts of a table, and works out the figures of the whole."""
    rows, whole = 0, None
    async for item in outputs.items():
        part = item.output
        if whole is None:
            whole = part.columns
        elif [tally.name for tally in part.columns] != [tally.name for tally in whole]:
            raise Reject(f"part {item.index} has other columns than those before it")
        else:
            whole = [_added(one, other) for one, other in zip(whole, part.columns, strict=True)]
        rows += part.rows
    return Whole(
        rows=rows,
        parts=len(outputs),
        missing_parts=outputs.counts.total - len(outputs),
        columns=[_figures(tally) for tally in whole or []],
    )


def _count(tally: Tally, cell: str) -> None:
    number = _number(cell.strip())
    if not cell.strip():
        tally.missing += 1
    elif number is None:
        tally.texts += 1
    else:
        tally.numbers += 1
        tally.sum += number
        tally.squares += number * number
        tally.min = number if tally.min is None else min(tally.min, number)
        tally.max = number if tally.max is None else max(tally.max, number)


def _number(cell: str) -> Decimal | None:
    """None for what is no number, or one with more digits than anything measured has."""
    try:
        number = Decimal(cell)
    except InvalidOperation:
        return None
    if not number.is_finite():
        return None
    exponent = int(number.as_tuple().exponent)
    fits = len(number.as_tuple().digits) <= MAX_DIGITS and abs(exponent) <= MAX_EXPONENT
    return number if fits else None


def _added(one: Tally, other: Tally) -> Tally:
    with localcontext(_EXACT):
        return Tally(
            name=one.name,
            missing=one.missing + other.missing,
            texts=one.texts + other.texts,
            numbers=one.numbers + other.numbers,
            sum=one.sum + other.sum,
            squares=one.squares + other.squares,
            min=min((each for each in (one.min, other.min) if each is not None), default=None),
            max=max((each for each in (one.max, other.max) if each is not None), default=None),
        )


def _figures(tally: Tally) -> Column:
    count, total, squares = tally.numbers, Fraction(tally.sum), Fraction(tally.squares)
    variance = (squares - total * total / count) / (count - 1) if count > 1 else None
    return Column(
        name=tally.name,
        missing=tally.missing,
        texts=tally.texts,
        numbers=count,
        sum=tally.sum,
        mean=float(total / count) if count else None,
        stddev=None if variance is None else math.sqrt(variance),
        min=None if tally.min is None else float(tally.min),
        max=None if tally.max is None else float(tally.max),
    )


def cut(lines: Iterable[str], part_bytes: int = PART_BYTES) -> Iterator[str]:
    """The parts of a table whose cells hold no line breaks, each with the header."""
    header, part, size = "", [], 0
    for line in lines:
        if not header:
            header = line
            continue
        part.append(line)
        size += len(line.encode())
        if size >= part_bytes:
            yield header + "".join(part)
            part, size = [], 0
    if part:
        yield header + "".join(part)


if __name__ == "__main__":
    with Path(sys.argv[1]).open(encoding="utf-8", newline="") as table:
        for each in cut(table):
            sys.stdout.buffer.write(orjson.dumps({"csv": each}) + b"\n")
