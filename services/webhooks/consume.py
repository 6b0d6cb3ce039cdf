"""Events into deliveries: one document for each endpoint that asked for the event, then the event is acknowledged.

An event that comes twice finds its documents there. What a tenant wants is looked up for each event, so an endpoint
hears of everything that happened after its creation was answered.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter

from services.webhooks.deliver import Deliverer
from services.webhooks.directory import Directory
from services.webhooks.messages import Message, batch_message, job_message, message_of, starts
from services.webhooks.recover import Recovery
from services.webhooks.shards import Shards
from shared.clock import Clock
from shared.errors import Overloaded, Unavailable
from shared.ids import Ids
from shared.messaging import contract as broker
from shared.messaging.contract import Acknowledge, Redeliver, Verdict
from shared.models.delivery import WINDOW_MS, Delivery, one_off_lane
from shared.models.event import Event, MalformedEvent
from shared.models.job import Job
from shared.models.webhook import BATCH_TYPES, EVENT_TYPES, JOB_STARTED, RECOVER, TEST, Endpoint, JobWebhook
from shared.storage.contract import JobReader, Stored, Version
from shared.storage.webhook_contract import DeliveryWrites

RETRY_SECONDS: Final = 1.0
AT_A_TIME: Final = 32
"""Deliveries that one event writes side by side: an event for many endpoints keeps no other waiting in the store."""

_log = logging.getLogger("sluice.webhooks")


@dataclass(frozen=True, slots=True)
class Consuming:
    """public_url: before the paths in messages."""

    directory: Directory
    jobs: JobReader
    deliveries: DeliveryWrites
    deliverer: Deliverer
    shards: Shards
    recovery: Recovery
    ids: Ids
    clock: Clock
    public_url: str
    counted: Counter

    async def handle(self, delivery: broker.Delivery) -> Verdict:
        try:
            event = Event.decode(delivery.message.body)
        except MalformedEvent as fault:
            _log.error("an event is malformed", extra={"message_id": delivery.message_id, "fault": str(fault)})
            return self._verdict("malformed", Acknowledge())
        try:
            await self._take(event)
        except (Unavailable, Overloaded) as fault:
            _log.warning("an event has to wait", extra={"event": event.id, "fault": type(fault).__name__})
            return self._verdict("postponed", Redeliver(RETRY_SECONDS))
        return self._verdict("handled", Acknowledge())

    def _verdict(self, result: str, verdict: Verdict) -> Verdict:
        self.counted.labels(result).inc()
        return verdict

    async def _take(self, event: Event) -> None:
        if event.type == RECOVER:
            await self.recovery.page(event)
            return
        if event.type not in EVENT_TYPES and event.type != TEST:
            return  # other readers'
        endpoints = await self.directory.of_tenant(event.tenant)
        if event.type == TEST:
            tested = [each for each in endpoints if each.id == event.data["id"]]
            await self._fan_out(event.tenant, message_of(event), tested, None)
        elif event.type.startswith("job."):
            await self._take_job(event, endpoints, JobWebhook.of(event.webhook))
        else:
            batch = event.type in BATCH_TYPES
            message = batch_message(event, self.public_url) if batch else message_of(event)
            await self._spread(event.tenant, message, endpoints, JobWebhook.of(event.webhook))

    async def _take_job(self, event: Event, endpoints: Sequence[Endpoint], hook: JobWebhook | None) -> None:
        labels = event.data.get("labels") or {}
        wanted = _wanted(event.type, labels, endpoints, hook)
        started = _wanted(JOB_STARTED, labels, endpoints, hook)
        if not wanted and not started:
            return
        job = await self._job(event)
        if wanted:
            await self._spread(event.tenant, job_message(event, job, self.public_url), endpoints, hook)
        for start in starts(event, job) if started else ():
            await self._spread(event.tenant, job_message(start, None, self.public_url), endpoints, hook)

    async def _job(self, event: Event) -> Job | None:
        """The job in the state that the event tells of; None if it has gone on, or is no longer there."""
        stored = await self.jobs.read(event.data["id"])
        if stored is None or stored.value.deleted_at is not None or event.type == JOB_STARTED:
            return None
        return stored.value if event.type == f"job.{stored.value.status}" and stored.value.spec.known else None

    async def _spread(
        self, tenant: str, message: Message, endpoints: Sequence[Endpoint], hook: JobWebhook | None
    ) -> None:
        asked = [each for each in endpoints if each.wants(message.type, message.labels) and each.id != message.subject]
        await self._fan_out(tenant, message, asked, hook if hook is not None and message.type in hook.events else None)

    async def _fan_out(
        self, tenant: str, message: Message, endpoints: Sequence[Endpoint], hook: JobWebhook | None
    ) -> None:
        if hook is not None:
            await self._for_one_off(tenant, message, hook.url)
        for start in range(0, len(endpoints), AT_A_TIME):
            some = endpoints[start : start + AT_A_TIME]
            await asyncio.gather(*(self._for_endpoint(tenant, message, endpoint) for endpoint in some))

    async def _for_endpoint(self, tenant: str, message: Message, endpoint: Endpoint) -> None:
        id = self.ids.derive("dlv", tenant, endpoint.id, message.id).text
        now = self.clock.now()
        due_at = await self.deliverer.first_due(endpoint.id, tenant, self.shards) if endpoint.enabled else now
        made = _delivery(id, tenant, message, endpoint.id, now, due_at)
        await self._create(made if endpoint.enabled else made.held(at=now))

    async def _for_one_off(self, tenant: str, message: Message, url: str) -> None:
        id = self.ids.derive("dlv", tenant, message.subject, f"{message.id}\0{url}").text
        lane = one_off_lane(tenant, url)
        due_at = await self.deliverer.first_due(lane, tenant, self.shards)
        await self._create(_delivery(id, tenant, message, lane, self.clock.now(), due_at, url))

    async def _create(self, made: Delivery) -> None:
        result = await self.deliveries.create(made)
        if isinstance(result, Version) and made.state.open:
            self.deliverer.offer(Stored(made, result, result.updated_at), self.shards)


def _wanted(type: str, labels: Mapping[str, str], endpoints: Sequence[Endpoint], hook: JobWebhook | None) -> bool:
    return any(each.wants(type, labels) for each in endpoints) or (hook is not None and type in hook.events)


def _delivery(
    id: str, tenant: str, message: Message, endpoint: str, now: int, due_at: int, url: str | None = None
) -> Delivery:
    return Delivery(
        id=id,
        tenant=tenant,
        message=message.id,
        type=message.type,
        endpoint=endpoint,
        subject=message.subject,
        body=message.body,
        created_at=now,
        expires_at=now + WINDOW_MS,
        due_at=due_at,
        url=url,
    )
