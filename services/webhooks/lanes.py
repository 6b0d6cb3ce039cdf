"""Whose turn it is: endpoints with something to send, each within its own limits, in a round robin. Pure.

A lane is one endpoint's part of this process. Lanes that have proved to answer share all slots. Those that time out,
or never answered yet, share a quarter of them, the new ones first: however many dead endpoints there are, three
quarters of the slots are never waiting for one. Of the quarter a tenant gets as much as it leaves free, and tenants
take turns: an endpoint that was never tried does not wait behind another tenant's dead ones. Time is monotonic seconds,
handed in. Used by the deliverer, which owns the slots.
"""

import heapq
import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from services.webhooks.breaker import Breaker, Pace
from services.webhooks.room import Shares
from shared.models.delivery import Delivery
from shared.storage.contract import Stored

_NEVER: Final = float("inf")
_EPSILON: Final = 1e-6
"""Seconds; what rounding may take from a moment."""


class Standing(IntEnum):
    """What is known of an endpoint; the order in which turns are given."""

    PROVEN = 0
    NEW = 1
    TIMING_OUT = 2


_SLOW_FIRST: Final = (Standing.NEW, Standing.TIMING_OUT, Standing.PROVEN)
SLOW_EVERY: Final = 4
"""One turn in so many begins with those that may be dead, however busy the others are."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one lane, and of all together."""

    in_flight: int = 10
    rate: float = 25.0
    burst: int = 50
    waiting: int = 100
    slots: int = 512
    slow_share: float = 0.25

    @property
    def slow_slots(self) -> int:
        return max(1, int(self.slots * self.slow_share))


@dataclass(frozen=True, slots=True)
class Turn:
    """What starts now. slow: it takes one of the slow slots. probe: the lane's breaker waits for what comes of it."""

    lane: "Lane"
    stored: Stored[Delivery]
    slow: bool
    probe: bool


@dataclass(slots=True, eq=False)
class Lane:
    endpoint: str
    tenant: str
    limits: Limits
    standing: Standing = Standing.NEW
    in_flight: int = 0
    breaker: Breaker = field(default_factory=Breaker)
    pace: Pace = field(init=False)
    paused_until: float = 0.0
    """It asked for a pause."""
    live: deque[Stored[Delivery]] = field(default_factory=deque)
    slow: deque[Stored[Delivery]] = field(default_factory=deque)
    """Redelivered and recovered: only when nothing live waits."""
    queued: bool = False
    """In a queue of `Turns`, ready or asleep."""

    def __post_init__(self) -> None:
        self.pace = Pace(self.limits.rate, self.limits.burst)

    @property
    def waiting(self) -> int:
        return len(self.live) + len(self.slow)

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.in_flight

    @property
    def full(self) -> bool:
        return self.waiting >= self.limits.waiting

    def open_at(self, now: float) -> float:
        """When breaker and pause let something start, never mind rate and slots; infinite while a probe decides."""
        breaker = self.breaker.next_at(now)
        return _NEVER if breaker is None else max(now, breaker, self.paused_until)

    def next_at(self, now: float) -> float:
        """When something may start; infinite until something that is under way has ended."""
        if not self.waiting or self.in_flight >= self.limits.in_flight:
            return _NEVER
        return max(self.open_at(now), self.pace.next_at(now))

    def put(self, stored: Stored[Delivery]) -> None:
        (self.slow if stored.value.slow else self.live).append(stored)

    def take(self, now: float, *, slow: bool) -> Turn:
        probe = self.breaker.began(now)
        self.pace.take(now)
        self.in_flight += 1
        return Turn(self, (self.live or self.slow).popleft(), slow, probe)

    def last(self) -> Stored[Delivery]:
        """Of what waits, the one whose turn would come last; it waits here no more."""
        return (self.slow or self.live).pop()

    def empty(self) -> list[Stored[Delivery]]:
        """Everything that waits, which is then the caller's."""
        found = [*self.live, *self.slow]
        self.live.clear()
        self.slow.clear()
        return found


class Ring:
    """Lanes that are ready: tenants take turns, and each tenant's lanes among them."""

    def __init__(self) -> None:
        self._tenants: OrderedDict[str, deque[Lane]] = OrderedDict()

    def append(self, lane: Lane) -> None:
        self._tenants.setdefault(lane.tenant, deque()).append(lane)

    def last(self, tenant: str) -> Lane | None:
        """Of the tenant's lanes in which something waits, the one whose turn comes last."""
        return next((lane for lane in reversed(self._tenants.get(tenant, ())) if lane.waiting), None)

    def pop(self, may: Callable[[str], bool]) -> Lane | None:
        """The next lane of a tenant that `may` start something. Those that may not have something under way each."""
        tenant = next((each for each in self._tenants if may(each)), None)
        if tenant is None:
            return None
        lanes = self._tenants.pop(tenant)
        lane = lanes.popleft()
        if lanes:
            self._tenants[tenant] = lanes
        return lane


class Turns:
    """All lanes of this process."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.lanes: dict[str, Lane] = {}
        self.in_flight = 0
        self._slow = Shares(limits.slow_slots)
        self._ready: dict[Standing, Ring] = {standing: Ring() for standing in Standing}
        self._asleep: list[tuple[float, int, Lane]] = []
        self._order = itertools.count()
        self._given = 0

    @property
    def waiting(self) -> int:
        return sum(lane.waiting for lane in self.lanes.values())

    def lane(self, endpoint: str, tenant: str) -> Lane:
        found = self.lanes.get(endpoint)
        if found is None:
            found = self.lanes[endpoint] = Lane(endpoint, tenant, self.limits)
        return found

    def put(self, lane: Lane, stored: Stored[Delivery], now: float) -> None:
        """Let `stored` wait for its turn."""
        lane.put(stored)
        self._queue(lane, now)

    def next(self, now: float) -> Turn | None:
        """What starts now; None: nothing may. The caller calls `ended`."""
        self._wake(now)
        self._given += 1
        for standing in _SLOW_FIRST if self._given % SLOW_EVERY == 0 else tuple(Standing):
            while (lane := self._next_ready(standing)) is not None:
                lane.queued = False
                if lane.standing is standing and lane.next_at(now) <= now + _EPSILON:
                    return self._start(lane, now)
                self._queue(lane, now)
        return None

    def ended(self, turn: Turn, now: float) -> None:
        """What `next` gave out is over, and the lane knows what came of it."""
        if turn.probe:
            turn.lane.breaker.undecided(now)
        self.in_flight -= 1
        if turn.slow:
            self._slow.give_back(turn.lane.tenant)
        turn.lane.in_flight -= 1
        self._queue(turn.lane, now)

    def next_moment(self) -> float | None:
        """When a lane that sleeps may go on."""
        return self._asleep[0][0] if self._asleep else None

    def oust(self, tenant: str) -> Stored[Delivery] | None:
        """Of what waits of this tenant, the last for an endpoint that may be dead; it is the caller's."""
        for standing in (Standing.TIMING_OUT, Standing.NEW):
            lane = self._ready[standing].last(tenant)
            if lane is not None:
                return lane.last()
        return None

    def forget(self, endpoints: Iterable[str]) -> list[Stored[Delivery]]:
        """Drop these lanes; what waited in them is the caller's. What is under way ends by itself."""
        left = []
        for endpoint in endpoints:
            lane = self.lanes.pop(endpoint, None)
            if lane is not None:
                left += lane.empty()
        return left

    def _next_ready(self, standing: Standing) -> Lane | None:
        if self.in_flight >= self.limits.slots:
            return None
        return self._ready[standing].pop(_anybody if standing is Standing.PROVEN else self._slow.open_to)

    def _start(self, lane: Lane, now: float) -> Turn:
        slow = lane.standing is not Standing.PROVEN
        turn = lane.take(now, slow=slow)
        self.in_flight += 1
        if slow:
            self._slow.take(lane.tenant)
        self._queue(lane, now)
        return turn

    def _queue(self, lane: Lane, now: float) -> None:
        if lane.queued:
            return
        at = lane.next_at(now)
        if at == _NEVER:
            return  # queued again when something comes, or something ends
        lane.queued = True
        if at <= now + _EPSILON:
            self._ready[lane.standing].append(lane)
        else:
            heapq.heappush(self._asleep, (at, next(self._order), lane))

    def _wake(self, now: float) -> None:
        while self._asleep and self._asleep[0][0] <= now + _EPSILON:
            _, _, lane = heapq.heappop(self._asleep)
            lane.queued = False
            self._queue(lane, now)


def _anybody(_tenant: str) -> bool:
    return True
