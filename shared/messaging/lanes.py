"""Which lane may pull next, and how much: the arithmetic of sharing one capacity. Pure; used by the consumer.

Capacity is counted in slots, one for each message that is held. The rules:

1. A pull asks for what is free at most, and reserves it while it is young: a lane with a backlog answers at once. One
   that is still out after `ANSWER_SECONDS` has found its lane empty. It goes on listening, but holds no slots, so that
   an idle lane costs a busy one nothing.
2. Such a late answer may bring more than is free by then. What is over waits for a slot, first in line.
3. Every lane has a floor, its weight's whole share of the slots. Whoever is below its floor goes first; the slots that
   the floors leave over go to the lane that has used the least slot-time for its weight. A lane whose pulls come back
   full has a backlog, and the others leave its floor alone.
4. A lane asks for twice as much after each full answer, and after any other for what it brought: a trickle is pulled
   one by one, a backlog in whole batches.
5. Several pulls of a lane listen at a time, begun one after the other (see `pubsub.source` for what that gains). While
   one is young, another is worth a call only where there is a backlog and much room.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

T = TypeVar("T")

ANSWER_SECONDS: Final = 0.06
"""A little longer than the emulator takes between two looks; a round trip to the service is shorter."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A subscription to consume, and its weight against the others' when several have work."""

    subscription: str
    weight: int = 1


@dataclass(slots=True, eq=False)
class Pull:
    """One pull in flight. Times are the clock's monotonic seconds."""

    limit: int
    started: float

    def reserved(self, now: float) -> int:
        """Slots that are kept for its answer."""
        return self.limit if now < self.started + ANSWER_SECONDS else 0


@dataclass(slots=True, eq=False)
class LaneState(Generic[T]):
    """A lane as it stands.

    held: messages that we have and have not settled, the waiting ones among them.
    waiting: those for which there is no slot yet.
    full_at: when a pull came back full, so that there was more; None once one came back with less. Of a lane that
        nobody has looked into yet we suppose a backlog.
    used: slot-seconds consumed, over the weight.
    """

    lane: Lane
    held: int = 0
    waiting: deque[T] = field(default_factory=deque)
    pulls: list[Pull] = field(default_factory=list)
    ask: int = 1
    full_at: float | None = -math.inf
    used: float = 0.0
    resumes: float = -math.inf
    """No pull before this moment, after a failure."""

    def reserved(self, now: float) -> int:
        return sum(pull.reserved(now) for pull in self.pulls)

    def has_backlog(self, now: float) -> bool:
        """Whether more is waiting at the broker, as far as we know: no pull begun since has come up against nothing."""
        full_at = self.full_at
        return full_at is not None and not any(
            pull.started >= full_at and pull.reserved(now) == 0 for pull in self.pulls
        )


class Shares(Generic[T]):
    """The lanes of one consumer and their capacity.

    capacity: slots. pulls: how many of a lane may listen at a time.
    """

    def __init__(self, lanes: Sequence[Lane], *, capacity: int, pulls: int) -> None:
        self.lanes = [LaneState[T](lane) for lane in lanes]
        self._capacity = capacity
        self._pulls = min(pulls, capacity)
        self._roomy = math.ceil(capacity / self._pulls)
        whole = sum(lane.weight for lane in lanes)
        self._floors = {id(state): capacity * state.lane.weight // whole for state in self.lanes}

    def free(self, now: float) -> int:
        """Slots that are neither taken nor reserved; below zero when a late answer brought more than fits."""
        return self._capacity - sum(state.held + state.reserved(now) for state in self.lanes)

    def running_room(self) -> int:
        """Slots in which no message runs."""
        return self._capacity - sum(state.held - len(state.waiting) for state in self.lanes)

    def next_waiting(self) -> LaneState[T] | None:
        """The lane whose waiting message gets the next slot."""
        if self.running_room() <= 0:
            return None
        waiting = [state for state in self.lanes if state.waiting]
        return min(waiting, key=lambda state: self._rank(state, state.held - len(state.waiting)), default=None)

    def next_pull(self, now: float) -> tuple[LaneState[T], int] | None:
        """The lane that is to pull now, and how much it may ask for; None when none should."""
        free = self.free(now)
        if free <= 0:
            return None
        ready = [state for state in self.lanes if self._may_pull(state, now, free) and self._room(state, now, free) > 0]
        if not ready:
            return None
        state = min(ready, key=lambda state: (self._rank(state, state.held + state.reserved(now)), len(state.pulls)))
        return state, min(state.ask, self._room(state, now, free))

    def next_moment(self, now: float) -> float | None:
        """When time alone may allow another pull; None when only an event can."""
        moments = [pull.started + ANSWER_SECONDS for state in self.lanes for pull in state.pulls]
        moments += [state.resumes for state in self.lanes]
        return min((moment for moment in moments if moment > now), default=None)

    def began(self, state: LaneState[T], pull: Pull) -> None:
        state.pulls.append(pull)

    def ended(self, state: LaneState[T], pull: Pull, brought: int, now: float) -> None:
        """`pull` is over and brought so many messages, which are held from now on."""
        if brought and not state.held and not state.has_backlog(now):
            self._catch_up(state, now)
        state.pulls.remove(pull)
        state.held += brought
        if brought >= pull.limit:
            state.full_at, state.ask = now, min(self._capacity, max(state.ask, 2 * pull.limit))
        else:
            state.full_at, state.ask = None, max(1, brought)

    def failed(self, state: LaneState[T], pull: Pull, resumes: float) -> None:
        """`pull` failed; the lane pulls again from `resumes` on."""
        state.pulls.remove(pull)
        state.full_at, state.ask, state.resumes = None, 1, resumes

    def settled(self, state: LaneState[T], slot_seconds: float) -> None:
        """A message of the lane is no longer held; it had a slot for so long."""
        state.held -= 1
        state.used += slot_seconds / state.lane.weight

    def _catch_up(self, state: LaneState[T], now: float) -> None:
        """A lane that comes back to life has saved nothing up while it was idle."""
        active = [other.used for other in self.lanes if other is not state and (other.held or other.has_backlog(now))]
        state.used = max(state.used, min(active, default=state.used))

    def _rank(self, state: LaneState[T], slots: int) -> tuple[bool, float]:
        return slots >= self._floors[id(state)], state.used

    def _may_pull(self, state: LaneState[T], now: float, free: int) -> bool:
        if now < state.resumes or len(state.pulls) >= self._pulls:
            return False
        return not state.reserved(now) or (free >= self._roomy and state.has_backlog(now))

    def _room(self, state: LaneState[T], now: float, free: int) -> int:
        """What of the free slots the lane may take: all but what lanes with a backlog are owed."""
        owed = sum(
            max(0, self._floors[id(other)] - other.held - other.reserved(now))
            for other in self.lanes
            if other is not state and other.has_backlog(now)
        )
        below_floor = max(0, self._floors[id(state)] - state.held - state.reserved(now))
        return min(free, max(free - owed, below_floor))
