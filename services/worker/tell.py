"""Telling what became of a job, after the store knows: gateways (through Redis) and whoever listens to events.

Redis is told on a best-effort basis, since waiters look again and equal work can be run again; the event must reach the
broker before the job's message is acknowledged, for that message is its outbox.
"""

import logging
from collections.abc import Awaitable

from shared.cache.contract import Landing, Result, Teller
from shared.clock import MILLISECONDS, Clock
from shared.errors import BrokerUnavailable, CacheUnavailable, Overloaded
from shared.messaging.contract import Message, Publisher
from shared.models.event import job_event
from shared.models.job import Job, JobStatus
from shared.models.public import Snapshot, snapshot

STARTED_SECONDS = 0.5
"""For telling of a start: whoever tells has leases to renew."""

_log = logging.getLogger("sluice.worker")


class Telling:
    def __init__(
        self,
        *,
        teller: Teller,
        landing: Landing,
        publisher: Publisher,
        topic: str,
        clock: Clock,
        publish_seconds: float,
    ) -> None:
        self._teller = teller
        self._landing = landing
        self._publisher = publisher
        self._topic = topic
        self._clock = clock
        self._publish_seconds = publish_seconds

    async def running(self, job: Job) -> None:
        """Let waiting clients see that the job runs, or waits for its retry, and listeners that it has started.

        Best effort: the event of its end tells listeners of its starts as well.
        """
        told = snapshot(job)
        woken = self._teller.tell(told)
        try:
            if job.status in {JobStatus.RUNNING, JobStatus.SCHEDULED}:
                await self._begun(job)
        finally:
            await self._woken(told, woken)

    async def over(self, job: Job) -> None:
        """Wake waiting clients and publish the event. Raises BrokerUnavailable or Overloaded if that was not taken.

        Nobody is shown a deleted job. Its event is published all the same: nobody may have heard of its end yet.
        """
        event = job_event(job, source="worker", at=self._clock.now())
        message = Message(event.encode(), event.attributes)
        if job.deleted_at is not None:
            await self._publish(message)
            return
        told = snapshot(job)
        if job.spec.cache_key is not None:  # landed first: who is woken and asks again meets no flight that is over
            await self._land(job, job.spec.cache_key, told)
        woken = self._teller.tell(told)
        try:
            await self._publish(message)
        finally:
            await self._woken(told, woken)

    async def _begun(self, job: Job) -> None:
        """Tell listeners that it has started, or that it will once more."""
        event = job_event(job, source="worker", at=self._clock.now())
        try:
            await self._publisher.publish(
                self._topic, Message(event.encode(), event.attributes), timeout_seconds=STARTED_SECONDS
            )
        except (BrokerUnavailable, Overloaded) as fault:
            _log.debug("a start or a retry was not told", extra={"job": job.spec.id, "fault": type(fault).__name__})

    async def _publish(self, message: Message) -> None:
        await self._publisher.publish(self._topic, message, timeout_seconds=self._publish_seconds)

    async def _woken(self, told: Snapshot, woken: Awaitable[object]) -> None:
        try:
            await woken
        except (CacheUnavailable, Overloaded) as fault:
            _log.debug("waiters were not woken", extra={"job": told.id, "fault": type(fault).__name__})

    async def _land(self, job: Job, key: str, told: Snapshot) -> None:
        """Leave the result of a job that succeeded to equal requests; after any other end the next one runs anew."""
        try:
            if job.status is JobStatus.SUCCEEDED:
                now = self._clock.now()
                age = max(0, now - (job.finished_at or now)) / MILLISECONDS
                await self._landing.land(key, Result(told, job.spec.cache_for_seconds, age))
            else:
                await self._landing.forget(key, job.spec.id)
        except (CacheUnavailable, Overloaded) as fault:
            _log.debug("a result was not kept", extra={"job": job.spec.id, "fault": type(fault).__name__})
