"""Taking work from the queues: one consumer a queue, its two lanes sharing what the queue's handlers can run at once.

A queue whose handlers all run in processes of their own takes no more messages than there are such processes: what this
worker cannot start is better left to one that can.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager

from services.worker.execution.task import Catalogue, RunIn
from services.worker.settings import Settings
from shared.clock import Clock
from shared.lifecycle import running
from shared.messaging.consumer import Consumer, Pace
from shared.messaging.contract import Handle, Source
from shared.messaging.lanes import Lane
from shared.messaging.topics import WORKER, Names
from shared.models import job
from shared.models.handler import queues_of

WEIGHTS = {job.Lane.INTERACTIVE: 4, job.Lane.BULK: 1}
"""Shares of a queue's capacity while both lanes have work."""
DEAD_CAPACITY = 16
"""Dead letters of a queue that are ended at once: each is a write or two."""
DEAD_PACE = Pace(pulls=1, wait_seconds=5.0)
"""They are rare, and nobody waits for them."""

_log = logging.getLogger("sluice.worker")


class Taking:
    """The consumers of this worker, by queue."""

    def __init__(self, consumers: Mapping[str, Consumer]) -> None:
        self._consumers = consumers
        self._paused: set[str] = set()
        self._stopped = False

    @property
    def consumers(self) -> Mapping[str, Consumer]:
        return self._consumers

    def running(self) -> AbstractAsyncContextManager[None]:
        """Take work while the block lasts."""
        return running(*(consumer.run() for consumer in self._consumers.values()))

    def pause(self, queues: Collection[str]) -> None:
        """Take nothing more from `queues`, and from all others again. What was taken goes on."""
        if self._stopped:
            return
        for queue, consumer in self._consumers.items():
            if queue in queues and queue not in self._paused:
                consumer.stop_taking()
                self._paused.add(queue)
                _log.info("a queue is paused", extra={"queue": queue})
            elif queue not in queues and queue in self._paused:
                consumer.resume_taking()
                self._paused.remove(queue)
                _log.info("a queue goes on", extra={"queue": queue})

    async def stop(self) -> None:
        """Take nothing more, for good."""
        self._stopped = True
        for consumer in self._consumers.values():
            consumer.stop_taking()

    async def drain(self, seconds: float) -> None:
        """Let what was taken be settled within `seconds`, and give the rest back."""
        await asyncio.gather(*(consumer.drain(deadline_seconds=seconds) for consumer in self._consumers.values()))


def taking(
    settings: Settings, catalogue: Catalogue, slots: Mapping[RunIn, int], source: Source, handle: Handle, clock: Clock
) -> Taking:
    """A consumer for each queue that this worker serves."""
    names, pace = Names(settings.prefix), Pace(pulls=settings.pulls)
    return Taking(
        {
            queue: Consumer(source, _lanes(names, queue), handle, capacity=capacity, clock=clock, pace=pace)
            for queue, capacity in capacities(catalogue, slots).items()
            if not settings.queues or queue in settings.queues
        }
    )


def burying(settings: Settings, catalogue: Catalogue, source: Source, handle: Handle, clock: Clock) -> Taking:
    """A consumer for the dead letters of each queue that this worker serves. A pause does not hold them up."""
    names = Names(settings.prefix)
    queues = queues_of(loaded.entry for loaded in catalogue.values())
    return Taking(
        {
            queue: Consumer(
                source, _dead_lanes(names, queue), handle, capacity=DEAD_CAPACITY, clock=clock, pace=DEAD_PACE
            )
            for queue in sorted(queues)
            if not settings.queues or queue in settings.queues
        }
    )


def capacities(catalogue: Catalogue, slots: Mapping[RunIn, int]) -> dict[str, int]:
    """How many messages of each queue may be held: what the kinds of handlers on it can run at once."""
    kinds: dict[str, set[RunIn]] = {}
    for loaded in catalogue.values():
        if loaded.entry.queue:
            kinds.setdefault(loaded.entry.queue, set()).add(loaded.run_in)
    return {queue: sum(slots[kind] for kind in each) for queue, each in kinds.items()}


def _lanes(names: Names, queue: str) -> list[Lane]:
    return [Lane(names.reader(names.jobs(queue, lane), WORKER), weight) for lane, weight in WEIGHTS.items()]


def _dead_lanes(names: Names, queue: str) -> list[Lane]:
    return [Lane(names.reader(names.dead(queue, lane), WORKER)) for lane in job.Lane]
