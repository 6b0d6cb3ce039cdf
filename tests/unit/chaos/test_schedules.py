"""Schedules and work of a storm: the same for the same seed, and with every kind of fault in them."""

from collections import defaultdict
from itertools import islice
from random import Random
from typing import Final

from tests.chaos.faults import Cast, Moment, kind_of, kinds, lasts, schedule, target_of
from tests.chaos.work import LOSS, draw

CAST: Final = Cast(("gateway-1", "gateway-2"), ("worker-1", "worker-2"), ("scheduler-1",), 4, ("aggregator-1",))
PACE: Final = 3.0


def drawn(seed: int, count: int = 200) -> list[Moment]:
    return list(islice(schedule(Random(seed), CAST, pace=PACE), count))


def test_a_seed_gives_the_same_schedule_and_the_same_work_again() -> None:
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert draw(Random(1), 50, tag="t", deadly=2) == draw(Random(1), 50, tag="t", deadly=2)


def test_moments_come_in_order_and_no_two_faults_of_a_target_overlap() -> None:
    free_at: defaultdict[str, float] = defaultdict(float)
    last = 0.0
    for moment in drawn(3):
        assert moment.at >= last
        assert moment.at >= free_at[target_of(moment.fault)]
        last = moment.at
        free_at[target_of(moment.fault)] = moment.at + lasts(moment.fault)


def test_half_a_minute_holds_nearly_every_kind_of_fault() -> None:
    for seed in range(20):
        met = {kind_of(moment.fault) for moment in drawn(seed) if moment.at < 30}
        assert len(kinds(CAST) - met) <= 2


def test_work_holds_all_that_may_befall_a_job() -> None:
    pieces = draw(Random(5), 2_000, tag="t", deadly=3, cancels=True)
    assert len({piece.work for piece in pieces}) == 2_000
    assert sum(piece.end is LOSS for piece in pieces) == 3
    assert {piece.keyed for piece in pieces} == {piece.canceled for piece in pieces} == {True, False}
    assert any("delay_seconds" in piece.options for piece in pieces)
    assert any(piece.task.get("failures") for piece in pieces)
    handlers = {"chaos.work", "chaos.thread", "chaos.process", "chaos.deadly", "chaos.deadly_thread"}
    assert {piece.handler for piece in pieces} == handlers
    assert not any(piece.canceled for piece in draw(Random(5), 500, tag="t"))
