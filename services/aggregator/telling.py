"""Telling of batches, after the store knows: waiting gateways through Redis, listeners and workers through topics.

Redis is told on a best-effort basis, since waiters look again. What goes to a topic must reach it before the events
that led to it are acknowledged: they are its outbox.
"""

import logging
from dataclasses import dataclass

from shared.cache.contract import CancelCaller, Teller
from shared.clock import Clock
from shared.errors import BrokerUnavailable, CacheUnavailable, Overloaded
from shared.messaging.contract import Message, Publisher
from shared.messaging.topics import Names
from shared.models.batch import Batch
from shared.models.batch_public import batch_snapshot, end_event
from shared.models.envelope import Envelope
from shared.models.event import job_event
from shared.models.job import Job
from shared.models.public import snapshot

SOURCE = "aggregator"

_log = logging.getLogger("sluice.aggregator")


@dataclass(frozen=True, slots=True)
class Telling:
    """publish_seconds: for one publish."""

    teller: Teller
    caller: CancelCaller
    publisher: Publisher
    names: Names
    clock: Clock
    publish_seconds: float

    async def state(self, batch: Batch) -> None:
        """Let waiting clients see the batch as it is. Nobody is shown a deleted one."""
        if batch.deleted_at is not None:
            return
        try:
            await self.teller.tell(batch_snapshot(batch))
        except (CacheUnavailable, Overloaded) as fault:
            _log.debug("waiters were not woken", extra={"batch": batch.spec.id, "fault": type(fault).__name__})

    async def over(self, batch: Batch) -> None:
        """Publish the one event of the batch's end. Raises BrokerUnavailable, Overloaded, MessageRefused."""
        event = end_event(batch, source=SOURCE)
        await self._publish(self.names.events, Message(event.encode(), event.attributes))

    async def reduce(self, batch: Batch, job: str) -> None:
        """Publish the job that reduces the batch. Harmless twice: its id is the same. Raises as `over`."""
        spec = batch.spec.reduction(job)
        envelope = Envelope(spec)
        await self._publish(self.names.jobs(spec.queue, spec.lane), Message(envelope.encode(), envelope.attributes))

    async def job(self, job: Job) -> None:
        """Tell of a job that was ended or asked to end here, best effort: what matters of it is in its batch.

        Of a tombstone whose writer knew only the id, listeners hear from the worker that completes it.
        """
        try:
            await self.teller.tell(snapshot(job))
            if not job.status.terminal:
                await self.caller.call(job.worker, job.spec.id)
        except (CacheUnavailable, Overloaded) as fault:
            _log.debug("waiters were not woken", extra={"job": job.spec.id, "fault": type(fault).__name__})
        if job.status.terminal and job.spec.known:
            event = job_event(job, source=SOURCE, at=self.clock.now())
            try:
                await self._publish(self.names.events, Message(event.encode(), event.attributes))
            except (BrokerUnavailable, Overloaded) as fault:
                _log.warning("an end was not told", extra={"job": job.spec.id, "fault": type(fault).__name__})

    async def _publish(self, topic: str, message: Message) -> None:
        await self.publisher.publish(topic, message, timeout_seconds=self.publish_seconds)
