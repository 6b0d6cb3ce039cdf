"""Taking work from the queues: one consumer a queue, its two lanes sharing what the queue's handlers can run at once.

A queue whose handlers all run in processes of their own takes no more messages than there are such processes: what this
worker cannot start is better left to one that can.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from services.worker.execution.task import Catalogue, RunIn
from services.worker.settings import Settings
from shared.clock import Clock
from shared.lifecycle import running
from shared.messaging.consumer import Consumer
from shared.messaging.contract import Handle, Source
from shared.messaging.lanes import Lane
from shared.messaging.topics import WORKER, Names
from shared.models import job

WEIGHTS = {job.Lane.INTERACTIVE: 4, job.Lane.BULK: 1}
"""Shares of a queue's capacity while both lanes have work."""


class Taking:
    """The consumers of this worker's queues."""

    def __init__(self, consumers: Sequence[Consumer]) -> None:
        self._consumers = consumers

    def running(self) -> AbstractAsyncContextManager[None]:
        """Take work while the block lasts."""
        return running(*(consumer.run() for consumer in self._consumers))

    async def stop(self) -> None:
        """Take nothing more."""
        for consumer in self._consumers:
            consumer.stop_taking()

    async def drain(self, seconds: float) -> None:
        """Let what was taken be settled within `seconds`, and give the rest back."""
        await asyncio.gather(*(consumer.drain(deadline_seconds=seconds) for consumer in self._consumers))


def taking(
    settings: Settings, catalogue: Catalogue, slots: Mapping[RunIn, int], source: Source, handle: Handle, clock: Clock
) -> Taking:
    """A consumer for each queue that this worker serves."""
    names = Names(settings.prefix)
    return Taking(
        [
            Consumer(source, _lanes(names, queue), handle, capacity=capacity, clock=clock)
            for queue, capacity in capacities(catalogue, slots).items()
            if not settings.queues or queue in settings.queues
        ]
    )


def capacities(catalogue: Catalogue, slots: Mapping[RunIn, int]) -> dict[str, int]:
    """How many messages of each queue may be held: what the kinds of handlers on it can run at once."""
    kinds: dict[str, set[RunIn]] = {}
    for loaded in catalogue.values():
        kinds.setdefault(loaded.entry.queue, set()).add(loaded.run_in)
    return {queue: sum(slots[kind] for kind in each) for queue, each in kinds.items()}


def _lanes(names: Names, queue: str) -> list[Lane]:
    return [Lane(names.reader(names.jobs(queue, lane), WORKER), weight) for lane, weight in WEIGHTS.items()]
