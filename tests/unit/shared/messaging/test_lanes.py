"""The arithmetic of sharing: what each rule of `lanes` says, and what holds whatever happens."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.messaging.lanes import ANSWER_SECONDS, Lane, LaneState, Pull, Shares


def two_lanes(*, capacity: int, pulls: int = 4) -> tuple[Shares[str], LaneState[str], LaneState[str]]:
    shares = Shares[str]([Lane("first", 4), Lane("second", 1)], capacity=capacity, pulls=pulls)
    return shares, shares.lanes[0], shares.lanes[1]


def begin(shares: Shares[str], now: float) -> tuple[LaneState[str], Pull]:
    chosen = shares.next_pull(now)
    assert chosen is not None
    state, limit = chosen
    pull = Pull(limit, now)
    shares.began(state, pull)
    return state, pull


def answer(shares: Shares[str], lane: LaneState[str], brought: int, *, limit: int, now: float) -> None:
    """`lane` pulled for `limit` and got `brought`."""
    pull = Pull(limit, now)
    shares.began(lane, pull)
    shares.ended(lane, pull, brought, now)


def test_a_young_pull_reserves_what_it_asks_for_and_an_old_one_nothing() -> None:
    shares, _, _ = two_lanes(capacity=10)
    begin(shares, 0.0)
    assert shares.free(0.0) == 9
    assert shares.free(ANSWER_SECONDS) == 10


def test_a_lane_asks_for_twice_as_much_after_each_full_answer() -> None:
    shares, first, _ = two_lanes(capacity=1_000)
    asked = []
    for _ in range(6):
        asked.append(first.ask)
        answer(shares, first, first.ask, limit=first.ask, now=0.0)
    assert asked == [1, 2, 4, 8, 16, 32]


def test_a_lane_asks_for_what_came_after_an_answer_that_was_not_full() -> None:
    shares, first, _ = two_lanes(capacity=1_000)
    answer(shares, first, 7, limit=64, now=0.0)
    assert first.ask == 7
    answer(shares, first, 0, limit=7, now=0.0)
    assert first.ask == 1


def test_a_lane_never_asks_for_more_than_the_capacity() -> None:
    shares, first, _ = two_lanes(capacity=10)
    for _ in range(6):
        answer(shares, first, first.ask, limit=first.ask, now=0.0)
    assert first.ask == 10


def test_a_backlog_keeps_the_others_from_its_floor() -> None:
    shares, first, second = two_lanes(capacity=10)
    answer(shares, first, 1, limit=1, now=0.0)
    second.ask = 10
    pulled = {state.lane.subscription: limit for state, limit in _all_pulls(shares, 0.0)}
    assert pulled["second"] == 2


def test_an_empty_lane_keeps_nothing_from_the_others() -> None:
    shares, first, second = two_lanes(capacity=10)
    answer(shares, first, 0, limit=1, now=0.0)
    second.ask = 10
    pulled = {state.lane.subscription: limit for state, limit in _all_pulls(shares, 0.0)}
    assert pulled["first"] + pulled["second"] == 10


def test_a_pull_that_comes_up_against_nothing_ends_the_backlog() -> None:
    shares, first, _ = two_lanes(capacity=10)
    answer(shares, first, 1, limit=1, now=0.0)
    shares.began(first, Pull(1, 0.0))
    assert first.has_backlog(ANSWER_SECONDS / 2)
    assert not first.has_backlog(ANSWER_SECONDS)


def test_pulls_of_a_lane_begin_one_after_the_other() -> None:
    shares = Shares[str]([Lane("only")], capacity=100, pulls=3)
    answer(shares, shares.lanes[0], 0, limit=1, now=0.0)
    moments: list[float] = []
    now = 0.0
    while len(moments) < 3:
        while shares.next_pull(now):
            begin(shares, now)
            moments.append(now)
        later = shares.next_moment(now)
        assert later is not None
        now = later
    assert moments == [0.0, ANSWER_SECONDS, 2 * ANSWER_SECONDS]
    assert shares.next_pull(1.0) is None
    assert shares.next_moment(1.0) is None


def test_a_lane_that_failed_pulls_again_at_its_moment() -> None:
    shares = Shares[str]([Lane("only")], capacity=100, pulls=3)
    state, pull = begin(shares, 0.0)
    shares.failed(state, pull, resumes=5.0)
    assert shares.next_pull(4.9) is None
    assert shares.next_moment(4.9) == 5.0
    assert shares.next_pull(5.0) is not None


def test_a_lane_below_its_floor_goes_first_whatever_it_has_used() -> None:
    shares, first, second = two_lanes(capacity=10)
    answer(shares, first, 1, limit=1, now=0.0)
    shares.settled(first, slot_seconds=1_000.0)
    answer(shares, first, 0, limit=1, now=0.0)
    answer(shares, second, 4, limit=4, now=0.0)
    second.used = 0.0
    state, _ = begin(shares, 0.0)
    assert state is first


def test_a_lane_that_was_idle_has_saved_nothing_up() -> None:
    shares, first, second = two_lanes(capacity=4)
    answer(shares, first, 0, limit=1, now=0.0)
    answer(shares, second, 1, limit=1, now=0.0)
    shares.settled(second, slot_seconds=1_000.0)
    answer(shares, second, 1, limit=1, now=0.0)
    answer(shares, first, 1, limit=1, now=0.0)
    assert first.used == second.used == 1_000.0


def _all_pulls(shares: Shares[str], now: float) -> list[tuple[LaneState[str], int]]:
    found = []
    while chosen := shares.next_pull(now):
        found.append(chosen)
        shares.began(chosen[0], Pull(chosen[1], now))
    return found


class SharesStateMachine(RuleBasedStateMachine):
    """Pulls, answers, failures and settlements in any order; time only goes on."""

    @initialize(
        weights=st.lists(st.integers(1, 9), min_size=1, max_size=4),
        capacity=st.integers(1, 50),
        pulls=st.integers(1, 5),
    )
    def begin(self, weights: list[int], capacity: int, pulls: int) -> None:
        self.now = 0.0
        self.capacity, self.pulls = capacity, min(pulls, capacity)
        lanes = [Lane(str(number), weight) for number, weight in enumerate(weights)]
        self.shares = Shares[int](lanes, capacity=capacity, pulls=pulls)

    @rule(seconds=st.sampled_from([0.001, 0.03, ANSWER_SECONDS, 1.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def pull_what_may_be_pulled(self) -> None:
        while (chosen := self.shares.next_pull(self.now)) is not None:
            state, limit = chosen
            assert 1 <= limit <= self.shares.free(self.now)
            self.shares.began(state, Pull(limit, self.now))
            assert len(state.pulls) <= self.pulls
        self._slots_do_not_lie_idle()

    @precondition(lambda self: any(state.pulls for state in self.shares.lanes))
    @rule(data=st.data())
    def a_pull_answers(self, data: st.DataObject) -> None:
        state = data.draw(st.sampled_from([state for state in self.shares.lanes if state.pulls]))
        pull = data.draw(st.sampled_from(state.pulls))
        brought = data.draw(st.integers(0, pull.limit))
        self.shares.ended(state, pull, brought, self.now)
        state.waiting.extend(range(brought))
        while (lucky := self.shares.next_waiting()) is not None:
            lucky.waiting.popleft()

    @precondition(lambda self: any(state.pulls for state in self.shares.lanes))
    @rule(data=st.data())
    def a_pull_fails(self, data: st.DataObject) -> None:
        state = data.draw(st.sampled_from([state for state in self.shares.lanes if state.pulls]))
        self.shares.failed(state, state.pulls[0], self.now + 0.5)

    @precondition(lambda self: any(state.held > len(state.waiting) for state in self.shares.lanes))
    @rule(data=st.data(), seconds=st.floats(0, 100))
    def a_message_is_settled(self, data: st.DataObject, seconds: float) -> None:
        running = [state for state in self.shares.lanes if state.held > len(state.waiting)]
        self.shares.settled(data.draw(st.sampled_from(running)), seconds)
        while (lucky := self.shares.next_waiting()) is not None:
            lucky.waiting.popleft()

    @invariant()
    def no_more_runs_than_there_are_slots(self) -> None:
        running = [state.held - len(state.waiting) for state in self.shares.lanes]
        assert min(running) >= 0
        assert sum(running) <= self.capacity

    @invariant()
    def nothing_waits_while_there_is_a_slot(self) -> None:
        waiting = sum(len(state.waiting) for state in self.shares.lanes)
        assert not (waiting and self.shares.running_room() > 0)

    def _slots_do_not_lie_idle(self) -> None:
        """A lane that may pull and has no pull out would be starved if it did not get one."""
        free = self.shares.free(self.now)
        starved = [state for state in self.shares.lanes if not state.pulls and self.now >= state.resumes]
        owed = any(state.has_backlog(self.now) for state in self.shares.lanes)
        assert not (free > 0 and starved and not owed)


TestSharesStateMachine = SharesStateMachine.TestCase
TestSharesStateMachine.settings = settings(max_examples=150, stateful_step_count=40)
