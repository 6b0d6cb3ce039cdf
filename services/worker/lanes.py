"""What this worker's consumers see of their lanes, for the meter that tells it to operators' routes."""

from collections.abc import Mapping

from shared.cache.lane_meter import LaneMeter
from shared.cache.lanes import Hold, Totals
from shared.messaging.consumer import Consumer
from shared.messaging.topics import WORKER, Names
from shared.models.job import Lane


def meter_lanes(meter: LaneMeter, consumers: Mapping[str, Consumer], names: Names) -> None:
    """Have `meter` tell of both lanes of each queue."""
    for queue, consumer in consumers.items():
        for lane in Lane:
            topic = names.jobs(queue, lane)
            meter.follow(topic, _Lane(consumer, names.reader(topic, WORKER)).look)


class _Lane:
    """One subscription of a consumer. It is empty when pulls since the last look have come back without anything."""

    def __init__(self, consumer: Consumer, subscription: str) -> None:
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
