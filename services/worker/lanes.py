"""What this worker's consumers see of their lanes, for the meter that tells it to operators' routes."""

from collections.abc import Mapping
from typing import Protocol

from shared.cache.lane_meter import LaneMeter
from shared.cache.lanes import Hold, Totals
from shared.messaging.consumer import Counters
from shared.messaging.topics import WORKER, Names
from shared.models.job import Lane


class Seen(Protocol):
    """What is seen of a queue's subscriptions, whether its messages are pulled or pushed."""

    @property
    def counters(self) -> Mapping[str, Counters]: ...
    def oldest_at(self, subscription: str, /) -> int | None: ...


def meter_lanes(meter: LaneMeter, consumers: Mapping[str, Seen], names: Names) -> None:
    """Have `meter` tell of both lanes of each queue."""
    for queue, consumer in consumers.items():
        for lane in Lane:
            topic = names.jobs(queue, lane)
            meter.follow(topic, _Lane(consumer, names.reader(topic, WORKER)).look)


class _Lane:
    """One subscription of a consumer. It is empty when pulls since the last look have come back without anything.

    Of what is pushed nobody here can know that: what waits may only be held back.
    """

    def __init__(self, consumer: Seen, subscription: str) -> None:
        self._consumer = consumer
        self._subscription = subscription
        self._idle_pulls = 0
        self._pulled = 0

    def look(self) -> tuple[Totals, Hold]:
        counters = self._consumer.counters[self._subscription]
        empty = counters.idle_pulls > self._idle_pulls and counters.pulled == self._pulled
        self._idle_pulls, self._pulled = counters.idle_pulls, counters.pulled
        returned = counters.redelivered + counters.released + counters.settle_failures
        totals = Totals(pulled=counters.pulled, returned=returned, settled=counters.acknowledged)
        oldest_at = self._consumer.oldest_at(self._subscription)
        return totals, Hold(counters.in_flight, oldest_at, counters.newest_at or None, empty)
