"""Telling what became of a job, after the store knows: gateways (through Redis) and whoever listens to events.

Redis is told on a best-effort basis, since waiters look again; the event must reach the broker before the job's message
is acknowledged, for that message is its outbox.
"""

import asyncio
import logging

from shared.cache.contract import Teller
from shared.clock import Clock
from shared.errors import CacheUnavailable, Overloaded
from shared.messaging.contract import Message, Publisher
from shared.models.event import job_event
from shared.models.job import Job
from shared.models.public import snapshot

_log = logging.getLogger("sluice.worker")


class Telling:
    def __init__(
        self, *, teller: Teller, publisher: Publisher, topic: str, clock: Clock, publish_seconds: float
    ) -> None:
        self._teller = teller
        self._publisher = publisher
        self._topic = topic
        self._clock = clock
        self._publish_seconds = publish_seconds

    async def running(self, job: Job) -> None:
        """Let waiting clients see that the job runs, or waits for its retry."""
        await self._wake(job)

    async def over(self, job: Job) -> None:
        """Wake waiting clients and publish the event. Raises BrokerUnavailable or Overloaded if that was not taken."""
        event = job_event(job, source="worker", at=self._clock.now())
        message = Message(event.encode(), event.attributes)
        waking = self._wake(job)
        publishing = self._publisher.publish(self._topic, message, timeout_seconds=self._publish_seconds)
        await asyncio.gather(waking, publishing)

    async def _wake(self, job: Job) -> None:
        try:
            await self._teller.tell(snapshot(job))
        except (CacheUnavailable, Overloaded) as fault:
            _log.debug("waiters were not woken", extra={"job": job.spec.id, "fault": type(fault).__name__})
