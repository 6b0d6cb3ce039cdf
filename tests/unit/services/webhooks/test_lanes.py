"""Turns, limits and breakers, on a clock that is handed in."""

from dataclasses import replace

import pytest

from services.webhooks.breaker import Breaker, Circuit, Pace
from services.webhooks.lanes import Limits, Standing, Turns
from shared.models.delivery import Delivery
from shared.storage.contract import Stored, Version

LIMITS = Limits(in_flight=2, rate=10.0, burst=3, waiting=5, slots=8, slow_share=0.25)


def waiting(endpoint: str, n: int = 0, *, slow: bool = False) -> Stored[Delivery]:
    delivery = Delivery(
        id=f"dlv_{endpoint}_{n}",
        tenant="acme",
        message=f"msg_{n}",
        type="job.succeeded",
        endpoint=endpoint,
        subject="job_1",
        body=b"{}",
        created_at=0,
        expires_at=1,
        due_at=0,
        slow=slow,
    )
    return Stored(delivery, Version(n), n)


def bench(*endpoints: str, each: int = 1, standing: Standing = Standing.PROVEN, limits: Limits = LIMITS) -> Turns:
    turns = Turns(limits)
    for n in range(each):
        for endpoint in endpoints:
            lane = turns.lane(endpoint, endpoint)
            lane.standing = standing
            turns.put(lane, waiting(endpoint, n), 0.0)
    return turns


def started(turns: Turns, now: float) -> list[str]:
    found = []
    while (turn := turns.next(now)) is not None:
        found.append(turn.lane.endpoint)
    return found


def test_endpoints_take_turns() -> None:
    assert started(bench("a", "b", "c", each=2), 0.0) == ["a", "b", "c", "a", "b", "c"]


def test_no_more_in_flight_than_an_endpoint_may_have() -> None:
    turns = bench("a", each=5)
    first = turns.next(0.0)
    assert first is not None
    assert started(turns, 0.0) == ["a"]
    turns.ended(first, 0.0)
    assert started(turns, 0.0) == ["a"]


def test_no_faster_than_an_endpoint_may_be_called() -> None:
    turns = bench("a", each=5)
    for _ in range(3):
        first = turns.next(0.0)
        assert first is not None
        turns.ended(first, 0.0)
    assert turns.next(0.0) is None
    assert turns.next_moment() == pytest.approx(0.1)
    assert turns.next(0.1)


def test_all_slots_and_no_more() -> None:
    turns = bench(*"abcdefghijkl")
    assert len(started(turns, 0.0)) == LIMITS.slots


@pytest.mark.parametrize("standing", [Standing.NEW, Standing.TIMING_OUT])
def test_endpoints_that_may_be_dead_share_a_quarter(standing: Standing) -> None:
    turns = bench(*"abcdefgh", standing=standing)
    first = turns.next(0.0)
    assert first is not None
    assert started(turns, 0.0) == ["b"]
    proven = turns.lane("z", "z")
    proven.standing = Standing.PROVEN
    turns.put(proven, waiting("z"), 0.0)
    assert started(turns, 0.0) == ["z"]
    turns.ended(first, 0.0)
    assert started(turns, 0.0) == ["c"]


def test_new_endpoints_go_before_those_that_time_out() -> None:
    turns = bench("dead", "dying", standing=Standing.TIMING_OUT)
    fresh = turns.lane("fresh", "fresh")
    turns.put(fresh, waiting("fresh"), 0.0)
    assert started(turns, 0.0) == ["fresh", "dead"]


def test_recovered_deliveries_go_behind_live_ones() -> None:
    turns = bench("a", each=0)
    lane = turns.lane("a", "a")
    lane.standing = Standing.PROVEN
    turns.put(lane, waiting("a", 1, slow=True), 0.0)
    turns.put(lane, waiting("a", 2), 0.0)
    assert [turn.stored.value.id for turn in iter(lambda: turns.next(0.0), None)] == ["dlv_a_2", "dlv_a_1"]


def test_a_pause_that_was_asked_for_is_kept() -> None:
    turns = bench("a", each=2)
    first = turns.next(0.0)
    assert first is not None
    first.lane.paused_until = 60.0
    turns.ended(first, 0.0)
    assert turns.next(59.0) is None
    assert turns.next(60.0)


def test_what_waits_in_a_forgotten_lane_is_handed_back() -> None:
    turns = bench("a", "b", each=2)
    assert len(turns.forget(["a", "unknown"])) == 2
    assert started(turns, 0.0) == ["b", "b"]


def test_the_breaker_opens_probes_once_and_backs_off() -> None:
    breaker = Breaker()
    for _ in range(5):
        assert breaker.next_at(0.0) == 0.0
        breaker.failed(0.0)
    assert (breaker.state, breaker.next_at(1.0)) == (Circuit.OPEN, 30.0)
    pauses = []
    at = 30.0
    for _ in range(7):
        breaker.began(at)
        assert breaker.next_at(at) is None
        breaker.failed(at)
        following = breaker.next_at(at)
        assert following is not None
        pauses.append(following - at)
        at = following
    assert pauses == [60, 120, 240, 480, 600, 600, 600]
    breaker.began(at)
    breaker.answered()
    assert (breaker.state, breaker.next_at(at)) == (Circuit.CLOSED, at)


def test_what_had_started_before_it_opened_changes_nothing() -> None:
    breaker = Breaker()
    for _ in range(9):
        breaker.failed(0.0)
    assert breaker.next_at(0.0) == 30.0


def test_an_open_breaker_lets_one_lane_probe() -> None:
    turns = bench("a", each=4)
    lane = turns.lane("a", "a")
    for _ in range(5):
        lane.breaker.failed(0.0)
    assert turns.next(29.0) is None
    probe = turns.next(31.0)
    assert probe is not None
    assert probe.probe
    assert turns.next(31.0) is None
    lane.breaker.answered()
    turns.ended(probe, 31.0)
    assert len(started(turns, 31.0)) == 2


def test_a_probe_that_says_nothing_is_followed_by_another() -> None:
    turns = bench("a", each=2)
    for _ in range(5):
        turns.lane("a", "a").breaker.failed(0.0)
    probe = turns.next(31.0)
    assert probe is not None
    turns.ended(probe, 31.0)
    following = turns.next(31.0)
    assert following is not None
    assert following.probe


def test_those_that_may_be_dead_get_a_turn_beside_busy_ones() -> None:
    turns = bench("busy", each=3)
    fresh = turns.lane("fresh", "fresh")
    turns.put(fresh, waiting("fresh"), 0.0)
    assert "fresh" in started(turns, 0.0)[:4]


def test_a_bucket_fills_up_to_its_burst() -> None:
    pace = Pace(25.0, 50)
    for _ in range(50):
        assert pace.next_at(0.0) == 0.0
        pace.take(0.0)
    assert pace.next_at(0.0) == pytest.approx(0.04)
    assert replace(pace).next_at(1_000.0) == 1_000.0


@pytest.mark.parametrize("standing", [Standing.NEW, Standing.TIMING_OUT])
def test_an_endpoint_never_waits_behind_another_tenants_dead_ones(standing: Standing) -> None:
    turns = Turns(replace(LIMITS, slots=64))
    for n in range(1_000):
        lane = turns.lane(f"dead-{n}", f"hog-{n % 4}")
        lane.standing = standing
        turns.put(lane, waiting(f"dead-{n}"), 0.0)
    assert len(started(turns, 0.0)) == 13  # of sixteen slots that may be slow, four tenants leave as many as each has
    fresh = turns.lane("fresh", "newcomer")
    turns.put(fresh, waiting("fresh"), 0.0)
    assert started(turns, 0.0) == ["fresh"]


def test_tenants_take_turns_however_many_endpoints_they_have() -> None:
    turns = Turns(LIMITS)
    for endpoint, tenant in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")):
        lane = turns.lane(endpoint, tenant)
        lane.standing = Standing.PROVEN
        turns.put(lane, waiting(endpoint), 0.0)
    assert started(turns, 0.0) == ["a1", "b1", "a2", "a3"]


def test_what_would_come_last_of_a_tenant_is_ousted_and_nothing_else_of_it() -> None:
    turns = Turns(LIMITS)
    for endpoint, tenant, n in (("a", "t", 0), ("b", "t", 1), ("b", "t", 2), ("c", "u", 3), ("p", "t", 4)):
        lane = turns.lane(endpoint, tenant)
        lane.standing = Standing.PROVEN if endpoint == "p" else Standing.NEW
        turns.put(lane, waiting(endpoint, n), 0.0)
    ousted = [turns.oust("t") for _ in range(4)]
    assert [found and found.value.id for found in ousted] == ["dlv_b_2", "dlv_b_1", "dlv_a_0", None]
    assert turns.oust("nobody") is None
    assert started(turns, 0.0) == ["p", "c"]
    turns.put(turns.lanes["b"], waiting("b", 5), 0.0)
    assert started(turns, 0.0) == ["b"]
