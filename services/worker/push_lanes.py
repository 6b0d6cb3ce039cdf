"""The lanes of a worker that is pushed to: how many messages of each are in hand, and whether another may come.

Nobody can weigh pushes that come by themselves, as pulling does (`consume`): so each lane has its own part of what the
queue's handlers can run at once, in the same shares, and what is over is turned away to another worker. Used by `push`.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from services.worker.consume import WEIGHTS
from shared.messaging.consumer import Counters
from shared.messaging.contract import Delivery
from shared.messaging.push import path
from shared.messaging.topics import WORKER, Names
from shared.models.job import Lane


@dataclass(slots=True, eq=False)
class PushedLane:
    """One subscription that pushes here."""

    subscription: str
    limit: int
    """Messages in hand at once."""
    counters: Counters = field(default_factory=Counters)
    held: dict[str, Delivery] = field(default_factory=dict)

    def took(self, delivery: Delivery) -> None:
        self.held[delivery.ack_id] = delivery
        self.counters.pulled += 1
        self.counters.newest_at = max(self.counters.newest_at, delivery.published_at)


class PushedQueue:
    """The lanes of one queue.

    capacity: what its handlers can run at once; never more is in hand, whatever the lanes' limits come to.
    """

    def __init__(self, lanes: Mapping[str, PushedLane], capacity: int) -> None:
        self.lanes = lanes
        self._of = {lane.subscription: lane for lane in lanes.values()}
        self._capacity = capacity

    @property
    def counters(self) -> Mapping[str, Counters]:
        """By subscription; they go on counting."""
        return {name: lane.counters for name, lane in self._of.items()}

    def oldest_at(self, subscription: str) -> int | None:
        """Publish time of the oldest message in hand, in milliseconds since the epoch; None if none is."""
        return min((each.published_at for each in self._of[subscription].held.values()), default=None)

    @contextmanager
    def place(self, lane: PushedLane) -> Iterator[bool]:
        """A place for one message while the block lasts; False when the lane or the queue is full."""
        taken = sum(each.counters.in_flight for each in self._of.values())
        free = lane.counters.in_flight < lane.limit and taken < self._capacity
        lane.counters.in_flight += free
        try:
            yield free
        finally:
            lane.counters.in_flight -= free


def pushed_queue(names: Names, queue: str, capacity: int) -> PushedQueue:
    """The lanes of `queue`, by the paths of their endpoints."""
    limits = shared_out(capacity)
    return PushedQueue(
        {
            path(queue, lane): PushedLane(names.reader(names.jobs(queue, lane), WORKER), limits[lane])
            for lane in WEIGHTS
        },
        capacity,
    )


def shared_out(capacity: int) -> dict[Lane, int]:
    """Each lane's part of `capacity`, by weight, and one at least; what rounding leaves goes to the heaviest."""
    whole = sum(WEIGHTS.values())
    parts = {lane: max(1, capacity * weight // whole) for lane, weight in WEIGHTS.items()}
    heaviest = max(WEIGHTS, key=lambda lane: WEIGHTS[lane])
    parts[heaviest] = max(1, capacity - sum(part for lane, part in parts.items() if lane is not heaviest))
    return parts


def limits(queues: Iterable[PushedQueue]) -> int:
    """Messages in hand at once, over all lanes."""
    return sum(lane.limit for queue in queues for lane in queue.lanes.values())
