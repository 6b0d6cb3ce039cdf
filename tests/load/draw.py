"""Draws the figures that have a target, as one SVG beside the JSON: how far each is on the good side of its bound.

Bars are on a logarithmic scale of (figure / bound), turned so that to the right is better: the line in the middle is
the target, one step to either side a factor of two. The thin line is the spread of the runs. Pure; called by `run`.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Final

from tests.load.results import Figure, Row, number

if TYPE_CHECKING:
    from collections.abc import Iterable

_LINE: Final = 26
_LEFT: Final = 470
_STEP: Final = 70  # for a factor of two
_STEPS: Final = 3  # drawn to either side; what is beyond ends at the edge
_WIDTH: Final = _LEFT + 2 * _STEPS * _STEP + 130
_COLOURS: Final = {"met": "#2a7f4f", "missed": "#b3392f"}


def drawing(rows: Iterable[Row]) -> str:
    """The SVG's text."""
    figures = [(row.key, figure) for row in rows for figure in row.figures if figure.quantity.target]
    height = _LINE * (len(figures) + 2)
    size = f'width="{_WIDTH}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">',
            f'<rect {size} fill="white"/>',
            *_scale(height),
            *(line for place, (key, figure) in enumerate(figures) for line in _bar(key, figure, _LINE * (place + 1))),
            "</svg>\n",
        ]
    )


def steps_beyond(figure: Figure, value: float) -> float:
    """How many factors of two `value` is on the good side of the figure's bound; negative on the bad one."""
    target = figure.quantity.target
    if target is None or value <= 0:
        return _STEPS if target and target.sense == "at most" else -_STEPS
    if target.bound <= 0:
        return -_STEPS
    ratio = value / target.bound if target.sense == "at least" else target.bound / value
    return max(-_STEPS, min(_STEPS, math.log2(ratio)))


def _x(steps: float) -> float:
    return _LEFT + (_STEPS + steps) * _STEP


def _scale(height: int) -> list[str]:
    lines = []
    for step in range(-_STEPS, _STEPS + 1):
        colour = "#333333" if step == 0 else "#dddddd"
        lines.append(f'<path d="M{_x(step):.0f} 12V{height - _LINE}" stroke="{colour}"/>')
        name = "target" if step == 0 else f"{'better' if step > 0 else 'worse'} {2 ** abs(step)} times"
        lines.append(f'<text x="{_x(step):.0f}" y="{height - 8}" text-anchor="middle" font-size="10">{name}</text>')
    return lines


def _bar(key: str, figure: Figure, y: int) -> list[str]:
    middle, end = _x(0), _x(steps_beyond(figure, figure.median))
    ends = sorted(_x(steps_beyond(figure, value)) for value in figure.values)
    left, width = min(middle, end), max(abs(end - middle), 1)
    quantity = figure.quantity
    median = f"{number(figure.median)} {quantity.unit}".strip()
    return [
        f'<text x="{_LEFT - 10}" y="{y + 4}" text-anchor="end">{escape(f"{key}  {quantity.name}")}</text>',
        f'<rect x="{left:.1f}" y="{y - 6}" width="{width:.1f}" height="12" fill="{_COLOURS[figure.verdict]}"/>',
        f'<path d="M{ends[0]:.1f} {y}H{ends[-1]:.1f}" stroke="black"/>',
        f'<text x="{_x(_STEPS) + 10:.0f}" y="{y + 4}">{escape(median)}</text>',
    ]
