"""Plans and tallies as they travel, the command line, and the times that Firestore tells."""

import pytest

from tests.load.arguments import parse
from tests.load.firestore import lags, micros
from tests.load.generator.plans import Closed, Exchange, Tally, Waiters, decode, encode
from tests.load.run import ROWS

KNOWN = tuple(ROWS)


def test_a_plan_survives_its_travel() -> None:
    closed = Closed("127.0.0.1", 80, [Exchange("GET", "b")], 4, 1.0, 5.0, check="accepted", count=7)
    waiters = Waiters("127.0.0.1", 80, "127.0.0.2", ["sk"], {"job_1": "1"}, 1_000, 60, 90.0)
    for plan in (closed, waiters):
        assert decode(encode(plan)) == plan


def test_a_tally_survives_its_travel() -> None:
    tally = Tally(answered=3, ids={"job_1": 3}, moments={"job_1": 17})
    tally.latencies.record(1_234)
    tally.fault("it was wrong")
    assert Tally.from_json(tally.to_json()) == tally


def test_faults_are_all_counted_and_few_are_kept() -> None:
    tally = Tally()
    for number in range(1_000):
        tally.fault(str(number))
    assert tally.wrong == 1_000
    assert len(tally.faults) == 20


def test_rows_are_named_either_way_and_measured_in_the_order_of_the_table() -> None:
    assert parse(["--rows", "p3,P1"], KNOWN).rows == ("p1", "p3")
    assert parse(["p3", "p1"], KNOWN).rows == ("p1", "p3")
    assert parse([], KNOWN).rows == KNOWN


def test_waiters_are_spread_over_as_many_gateways_as_they_need() -> None:
    assert (parse([], KNOWN).waiters, parse([], KNOWN).gateways) == (5_000, 2)
    full = parse(["p4", "--full"], KNOWN)
    assert (full.waiters, full.gateways) == (50_000, 4)


@pytest.mark.parametrize(
    "given",
    [
        ["p11"],
        ["--runs", "0"],
        ["--seconds", "3600"],
        ["--waiters", "1000000"],
        ["--waiters", "50000", "--gateways", "1"],
    ],
)
def test_what_is_out_of_bounds_is_refused(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(given, KNOWN)
    assert "error" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T00:00:01.5Z", 1_500_000),
        ("2026-01-02T03:04:05.123456Z", 1_767_323_045_123_456),
        ("2026-01-02T03:04:05.123456789Z", 1_767_323_045_123_456),
    ],
)
def test_times_of_the_store_are_read_to_the_microsecond(text: str, expected: int) -> None:
    assert micros(text) == expected


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="not a time"):
        micros("yesterday")


def test_lags_are_counted_from_each_jobs_own_finish() -> None:
    made = lags({"a": 5_000, "b": 9_000}, {"a": 4_000, "b": 6_000, "c": 1})
    assert (made.count, made.most, made.total) == (2, 3_000, 4_000)
