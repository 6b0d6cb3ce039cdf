"""The bridge's consumers, and when they stop: for queues that operators have paused, and for good."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from shared.clock import Clock
from shared.errors import Overloaded, Unavailable
from shared.messaging.consumer import Consumer
from shared.storage.contract import QueueControls


class Pulling:
    """queues: the consumers of each queue."""

    def __init__(self, queues: Mapping[str, Sequence[Consumer]]) -> None:
        self._queues = queues
        self._stopped = False

    @property
    def consumers(self) -> list[Consumer]:
        return [each for consumers in self._queues.values() for each in consumers]

    async def follow(self, controls: QueueControls, clock: Clock, every_seconds: float) -> None:
        """Do as operators say, until cancelled. A store that does not answer changes nothing."""
        while True:
            with suppress(Unavailable, Overloaded):
                self._pause({control.name for control in await controls.all() if control.paused})
            await clock.sleep(every_seconds)

    def _pause(self, paused: set[str]) -> None:
        for queue, consumers in self._queues.items():
            for consumer in consumers:
                if queue in paused or self._stopped:
                    consumer.stop_taking()
                else:
                    consumer.resume_taking()

    async def stop(self) -> None:
        """Take nothing more, for good."""
        self._stopped = True
        self._pause(set())

    async def drain(self, seconds: float) -> None:
        """Let what is on its way be answered within `seconds`, and give the rest back."""
        await asyncio.gather(*(each.drain(deadline_seconds=seconds) for each in self.consumers))
