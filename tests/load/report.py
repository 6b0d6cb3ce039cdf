"""Shows the rows as a table and keeps them as JSON in `build/load/`. The table is pure; called by `run`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tests.load.results import Figure, Row, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_HEADINGS: Final = ("", "figure", "median", "least to most", "target", "")
_RIGHT: Final = frozenset({2, 3})
_WRONG_SHOWN: Final = 5


def table(rows: Sequence[Row]) -> str:
    """Every figure with its target beside it, then what is to be known about them."""
    lines = [line for row in rows for line in _lines(row)]
    widths = [max(len(line[column]) for line in (_HEADINGS, *lines)) for column in range(len(_HEADINGS))]
    ruled = [_HEADINGS, tuple("─" * width for width in widths), *lines]
    return "\n".join(_aligned(line, widths) for line in ruled) + _remarks(rows)


def _lines(row: Row) -> list[tuple[str, ...]]:
    lines = [_line(row.key if first else "", figure) for first, figure in _marked(row.figures)]
    return lines or [(row.key, "not measured", "", "", "", "")]


def _marked(figures: Iterable[Figure]) -> list[tuple[bool, Figure]]:
    return [(place == 0, figure) for place, figure in enumerate(figures)]


def _line(key: str, figure: Figure) -> tuple[str, ...]:
    quantity = figure.quantity
    spread = f"{number(min(figure.values))} to {number(max(figure.values))}"
    target = str(quantity.target) if quantity.target else ""
    median = f"{number(figure.median)} {quantity.unit}".strip()
    return key, quantity.name, median, spread, target, figure.verdict


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.rjust(width) if column in _RIGHT else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _remarks(rows: Iterable[Row]) -> str:
    remarks = []
    for row in rows:
        remarks += [f"{row.key}: {note}" for note in row.notes]
        if row.refused:
            remarks.append(f"{row.key}: {row.refused:,} requests were turned away (429, 503)")
        remarks += [f"{row.key}: WRONG: {fault}" for fault in row.wrong[:_WRONG_SHOWN]]
        if len(row.wrong) > _WRONG_SHOWN:
            remarks.append(f"{row.key}: and {len(row.wrong) - _WRONG_SHOWN} more that are wrong")
    return "".join(f"\n{remark}" for remark in ["", *remarks]) if remarks else ""


def keep(folder: Path, name: str, rows: Iterable[Row], context: Mapping[str, Any]) -> Path:
    """Write everything to `<name>.json` and return where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    document = {**context, "rows": [row.to_json() for row in rows]}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return path
