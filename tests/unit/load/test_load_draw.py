"""The drawing: to the right is better, whatever the sense of the bound."""

import xml.etree.ElementTree as ET

import pytest

from tests.load.draw import drawing, steps_beyond
from tests.load.results import Figure, Quantity, Row, Target, at_least, at_most


@pytest.mark.parametrize(
    ("target", "value", "steps"),
    [
        (at_least(100), 200, 1),
        (at_least(100), 50, -1),
        (at_most(100), 50, 1),
        (at_most(100), 400, -2),
        (at_most(100), 100, 0),
        (at_most(100), 0, 3),
        (at_least(100), 0, -3),
        (at_least(1), 1_000_000, 3),
    ],
)
def test_bars_go_the_way_that_is_better(target: Target, value: float, steps: float) -> None:
    figure = Figure(Quantity("q", "name", "", target), (value,))
    assert steps_beyond(figure, value) == pytest.approx(steps)


def test_every_figure_with_a_target_is_drawn_and_names_are_escaped() -> None:
    row = Row("P9", "A row", (Quantity("a", "a < b & c", "ms", at_most(3)), Quantity("b", "no target", "ms")))
    row.add({"a": 5, "b": 1})
    root = ET.fromstring(drawing([row]))
    texts = [element.text for element in root.iter() if element.text and element.text.strip()]
    assert "P9  a < b & c" in texts
    assert not any("no target" in text for text in texts)
