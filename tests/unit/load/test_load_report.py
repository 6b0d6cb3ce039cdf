"""Figures, verdicts and the table."""

import json
from pathlib import Path

import pytest

from tests.load.generator.plans import Tally
from tests.load.report import keep, table
from tests.load.results import Quantity, Row, at_least, at_most, number

RATE = Quantity("rate", "jobs a second", "/s", at_least(1_000))
COST = Quantity("cost", "CPU a job", "ms", at_most(0.3))
PLAIN = Quantity("plain", "something else", "")


def row() -> Row:
    made = Row("P9", "A row", (RATE, COST, PLAIN))
    for rate, cost in ((900, 0.25), (1_100, 0.29), (1_050, 0.9)):
        made.add({"rate": rate, "cost": cost})
    return made


def test_the_median_decides_about_the_target() -> None:
    rate, cost = row().figures
    assert (rate.median, rate.verdict) == (1_050, "met")
    assert (cost.median, cost.verdict) == (0.29, "met")


def test_a_missed_target_is_said_to_be_missed() -> None:
    made = row()
    made.add({"rate": 10})
    made.add({"rate": 10, "cost": 0.9})
    assert [figure.verdict for figure in made.figures] == ["missed", "missed"]
    assert table([made]).count("missed") == 2


def test_a_bound_itself_is_kept() -> None:
    assert at_least(5).verdict(5) == at_most(5).verdict(5) == "met"


def test_what_was_not_declared_is_not_taken() -> None:
    with pytest.raises(KeyError):
        row().add({"speed": 1})


def test_the_table_shows_median_spread_and_target_of_each_figure() -> None:
    lines = table([row()]).splitlines()
    assert [" ".join(line.split()) for line in lines[2:]] == [
        "P9 jobs a second 1,050 /s 900 to 1,100 ≥ 1,000 met",
        "CPU a job 0.29 ms 0.25 to 0.9 ≤ 0.3 met",
    ]


def test_wrong_answers_are_shown_and_counted() -> None:
    made = row()
    made.wrong += [f"fault {number}" for number in range(9)]
    shown = table([made])
    assert "P9: WRONG: fault 4" in shown
    assert "fault 5" not in shown
    assert "and 4 more" in shown


def test_a_wrong_answer_is_shown_with_whose_it_was() -> None:
    made, ours, theirs = row(), Tally(), Tally()
    ours.fault("a job is lost")
    theirs.fault("not every job was terminal")
    made.judge(ours, of="Sluice")
    made.judge(theirs, of="front-celery")
    shown = table([made])
    assert "P9: WRONG: Sluice: a job is lost" in shown
    assert "P9: WRONG: front-celery: not every job was terminal" in shown


def test_a_row_without_figures_is_shown_as_not_measured() -> None:
    assert "not measured" in table([Row("P9", "A row", ())])


def test_the_json_holds_every_value(tmp_path: Path) -> None:
    path = keep(tmp_path / "deep", "now", [row()], {"runs": 3})
    kept = json.loads(path.read_text())
    assert kept["runs"] == 3
    rate = kept["rows"][0]["figures"][0]
    assert (rate["values"], rate["least"], rate["most"], rate["verdict"]) == ([900, 1_100, 1_050], 900, 1_100, "met")


@pytest.mark.parametrize(
    ("value", "text"),
    [(39_123.4, "39,123"), (812, "812"), (45.678, "45.7"), (7.9449, "7.94"), (0.6131, "0.613"), (0, "0")],
)
def test_numbers_are_shown_as_precisely_as_they_are_known(value: float, text: str) -> None:
    assert number(value) == text
