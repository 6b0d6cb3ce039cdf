"""The batch that is asked for: made of the request and what its handlers have announced, and its document.

The document is written, with the timer of its deadline, before any of its items is published: whatever runs belongs to
a batch that somebody can find, and that ends.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

import orjson

from services.gateway.batches.requests import BatchRequest, ReduceRequest
from services.gateway.catalogue.handlers import Handler, Handlers
from services.gateway.http.problems import (
    INVALID_INPUT,
    UNKNOWN_REDUCER,
    Fault,
    Problem,
    gone,
    unavailable,
)
from services.gateway.jobs.hooks import JobHooks
from services.gateway.settings import Settings
from shared.clock import MILLISECONDS, Clock
from shared.errors import CommitUnknown, Overloaded, StoreUnavailable, Unavailable
from shared.ids import Ids, IssuedId
from shared.messaging.topics import Names
from shared.models.batch import REDUCE_LIFETIME_MS, Batch, BatchSpec, ReduceSpec
from shared.models.batch_public import deadline_at, deadline_event
from shared.storage.batch_contract import BatchOpening
from shared.storage.contract import Timer, Version

MAX_ROUNDS: Final = 4


@dataclass(frozen=True, slots=True)
class Asked:
    """A batch that could be opened, and the handler that its items are for."""

    spec: BatchSpec
    handler: Handler


class Opening:
    def __init__(
        self, settings: Settings, *, ids: Ids, handlers: Handlers, hooks: JobHooks, batches: BatchOpening, clock: Clock
    ) -> None:
        self._settings = settings
        self._ids = ids
        self._handlers = handlers
        self._hooks = hooks
        self._batches = batches
        self._clock = clock
        self._topic = Names(settings.prefix).events

    async def prepare(
        self, request: BatchRequest, *, tenant: str, traceparent: str | None, under: IssuedId | None = None
    ) -> Asked:
        """The batch that is asked for, of which nobody has heard yet. Raises Problem.

        under: the id that was issued when it was asked for first.
        """
        handler = await self._handlers.find(request.handler)
        handler.refuse_reducer()
        reduce = await self._reduce(request.reduce, handler)
        await self._hooks.admit(request.webhook, tenant)
        return Asked(self._spec(request, handler, reduce, tenant, traceparent, under), handler)

    async def open(self, spec: BatchSpec) -> Batch:
        """The batch, from now on or since it was opened first. Raises Problem: 503, and 410 for a deleted one."""
        try:
            async with asyncio.timeout(self._settings.publish_seconds):
                batch = await self._opened(spec)
        except (Unavailable, Overloaded, TimeoutError):
            raise unavailable("The batch was not accepted.", accepted=False) from None
        if batch.deleted_at is not None:
            raise gone("batch")
        return batch

    async def _opened(self, spec: BatchSpec) -> Batch:
        event = deadline_event(spec, source="gateway")
        timer = Timer(f"{spec.id}:deadline", deadline_at(spec), self._topic, event.encode(), event.attributes)
        for _ in range(MAX_ROUNDS):
            try:
                if isinstance(await self._batches.open(Batch(spec), timer), Version):
                    return Batch(spec)
            except CommitUnknown:
                pass
            found = await self._batches.read(spec.id)
            if found is not None:
                return found.value
        raise StoreUnavailable("the batch could not be opened")

    async def _reduce(self, asked: ReduceRequest | None, handler: Handler) -> ReduceSpec | None:
        if asked is None:
            return None
        reducer = await self._handlers.find(asked.handler)
        entry = reducer.entry
        if not entry.reduces:
            raise Problem(UNKNOWN_REDUCER, f"{entry.name} is a handler, but does not reduce.")
        try:
            reducer.check(asked.options)
        except Problem as problem:
            faults = [Fault(f"/reduce{each.pointer}", each.detail) for each in problem.errors]
            raise Problem(INVALID_INPUT, f"The options do not fit {entry.name}.", errors=faults) from None
        queue = entry.queue or handler.entry.queue  # one that every worker has is on no queue of its own
        return ReduceSpec(entry.name, queue, orjson.dumps(asked.options), entry.timeout_seconds, entry.max_attempts)

    def _spec(
        self,
        request: BatchRequest,
        handler: Handler,
        reduce: ReduceSpec | None,
        tenant: str,
        traceparent: str | None,
        under: IssuedId | None,
    ) -> BatchSpec:
        entry, now = handler.entry, under.created_at if under else self._clock.now()
        alive = (request.expires_in_seconds or self._settings.expires_in_seconds) * MILLISECONDS
        lifetime = alive + (REDUCE_LIFETIME_MS if reduce else 0)
        issued = under or self._ids.issue("bat", tenant, created_at=now, lifetime_ms=lifetime)
        return BatchSpec(
            id=issued.text,
            tenant=tenant,
            handler=entry.name,
            queue=entry.queue,
            created_at=now,
            expires_at=now + alive,
            timeout_seconds=request.timeout_seconds or entry.timeout_seconds,
            max_attempts=request.max_attempts or entry.max_attempts,
            labels=request.labels,
            webhook=request.webhook,
            reduce=reduce,
            traceparent=traceparent,
        )
