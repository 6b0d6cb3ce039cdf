"""Profiles of CSV files: what each column holds, before anybody imports it.

Polars does the counting in threads of its own and lets go of Python's lock meanwhile, so a thread of the worker is the
right place. Python's `csv` module looks at the table's shape first: polars fills up rows that are too short without a
word, and an author of a report wants to hear of them.
"""

import csv
import io
import math
from typing import Annotated, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from sluice import Handlers, JobContext, Reject

handlers = Handlers()

MAX_COLUMNS = 1_000
TOP_VALUES = 5

_WRITTEN = {"date": "%Y-%m-%d", "time": "%H:%M:%S%.f", "datetime": "%Y-%m-%dT%H:%M:%S%.f"}
"""ISO 8601."""


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    csv: str
    """Comma separated, with a header line."""


class Count(BaseModel):
    value: str
    count: int


class Column(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    nulls: int
    """Rows without a value; for numbers also those that hold NaN or an infinity."""
    distinct: int
    """Different values, nulls aside."""


class NumberColumn(Column):
    type: Literal["integer", "float"]
    min: int | float | None
    max: int | float | None
    mean: float | None
    stddev: float | None
    """Of a sample: divided by n - 1. Null for fewer than two values."""
    p25: float | None
    """Quantiles are interpolated linearly between the two closest values."""
    median: float | None
    p75: float | None


class TimeColumn(Column):
    type: Literal["date", "time", "datetime"]
    min: str
    """ISO 8601; moments that name their zone are given in UTC, without naming it."""
    max: str


class BooleanColumn(Column):
    type: Literal["boolean"]
    true: int
    false: int


class StringColumn(Column):
    type: Literal["string"]
    shortest: int | None
    """Length in characters; null when every row is."""
    longest: int | None
    top: list[Count]
    """The most frequent values; of equally frequent ones the first in code point order."""


AnyColumn = Annotated[NumberColumn | TimeColumn | BooleanColumn | StringColumn, Field(discriminator="type")]


class Profile(BaseModel):
    rows: int
    columns: list[AnyColumn]


@handlers.on("csv.profile", timeout=60, max_attempts=3, cache_for=3_600, run_in="thread")
def profile(input: Table, job: JobContext) -> Profile:
    """Tells type, nulls, distinct values and the usual statistics of every column of a CSV."""
    frame = _read(input.csv)
    columns = []
    for series in frame:
        columns.append(_describe(series))
        job.progress(len(columns), frame.width)
    return Profile(rows=frame.height, columns=columns)


def _read(text: str) -> pl.DataFrame:
    # Blank lines at the end are how many editors leave a file, not rows.
    text = text.removeprefix("\ufeff").rstrip("\r\n") + "\n"
    rows = _check_shape(text)
    try:
        frame = pl.read_csv(text.encode(), infer_schema_length=None, try_parse_dates=True)
    except pl.exceptions.PolarsError:
        # Polars quotes the offending cells in its messages; they are not ours to spread.
        raise Reject("the table cannot be read; a quotation mark is probably out of place") from None
    if frame.height != rows:
        raise Reject("it is not clear where the rows end; use one kind of line break, and quote fields that hold any")
    return frame


def _check_shape(text: str) -> int:
    """The number of rows below the header. Reject for a table that is empty or whose rows differ in length."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        width = _check_header(next(reader))
        rows = 0
        for row in reader:
            # A blank line is a null where there is one column, and a row too short where there are more.
            if len(row) != width and (row or width > 1):
                raise Reject(f"line {reader.line_num} has {len(row)} fields where the header has {width}")
            rows += 1
    except csv.Error as error:
        raise Reject(f"line {reader.line_num} is malformed: {error}") from None
    if rows == 0:
        raise Reject("the table has a header but no rows")
    return rows


def _check_header(names: list[str]) -> int:
    if not names:
        raise Reject("the table is empty, or its first line, which names the columns, is blank")
    if len(names) > MAX_COLUMNS:
        raise Reject(f"the table has {len(names)} columns; {MAX_COLUMNS} are read")
    seen: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if not name.strip():
            raise Reject(f"column {number} has no name")
        if name in seen:
            raise Reject(f"columns {seen[name]} and {number} have the same name")
        seen[name] = number
    return len(names)


def _describe(series: pl.Series) -> AnyColumn:
    kind = series.dtype
    if kind.is_numeric():
        return _numbers(series)
    if kind == pl.Boolean:
        return _booleans(series)
    if kind.is_temporal():
        return _times(series)
    return _strings(series)


def _numbers(series: pl.Series) -> NumberColumn:
    floats = series.cast(pl.Float64)
    finite = floats.is_finite().fill_null(value=False)
    values, floats = series.filter(finite), floats.filter(finite)
    return NumberColumn(
        name=series.name,
        type="integer" if series.dtype.is_integer() else "float",
        nulls=len(series) - len(values),
        distinct=values.n_unique(),
        min=_number(values.min()),
        max=_number(values.max()),
        mean=_number(floats.mean()),
        stddev=_number(floats.std()),
        p25=_number(floats.quantile(0.25, "linear")),
        median=_number(floats.quantile(0.5, "linear")),
        p75=_number(floats.quantile(0.75, "linear")),
    )


def _number(value: object) -> int | float | None:
    """None for none, and for a sum beyond the range of floats, which JSON cannot say."""
    return value if isinstance(value, (int, float)) and math.isfinite(value) else None


def _times(series: pl.Series) -> TimeColumn:
    values = series.drop_nulls().sort()
    kind = _time_kind(series.dtype)
    # Polars writes them out itself: it knows years that Python's dates do not.
    written = values.dt.to_string(_WRITTEN[kind])
    return TimeColumn(
        name=series.name,
        type=kind,
        nulls=series.null_count(),
        distinct=values.n_unique(),
        min=written[0],
        max=written[-1],
    )


def _time_kind(kind: pl.DataType) -> Literal["date", "time", "datetime"]:
    if kind == pl.Date:
        return "date"
    return "time" if kind == pl.Time else "datetime"


def _booleans(series: pl.Series) -> BooleanColumn:
    values = series.drop_nulls()
    true = int(values.sum())
    return BooleanColumn(
        name=series.name,
        type="boolean",
        nulls=series.null_count(),
        distinct=values.n_unique(),
        true=true,
        false=len(values) - true,
    )


def _strings(series: pl.Series) -> StringColumn:
    values = series.drop_nulls()
    lengths = values.str.len_chars().to_list()
    counts = values.rename("value").value_counts(name="count")
    top = counts.sort(["count", "value"], descending=[True, False]).head(TOP_VALUES)
    return StringColumn(
        name=series.name,
        type="string",
        nulls=series.null_count(),
        distinct=counts.height,
        shortest=min(lengths, default=None),
        longest=max(lengths, default=None),
        top=[Count(value=value, count=count) for value, count in top.iter_rows()],
    )
