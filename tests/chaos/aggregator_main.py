"""An aggregator as `services.aggregator` runs it; on request with a bug, so that the judges of batches can be tried.

Started by chaos systems in place of `services.aggregator`: `python -m tests.chaos.aggregator_main`.
"""

import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from services.aggregator.app import Adapters, connected, serving
from services.aggregator.fan_in import OUTCOMES
from services.aggregator.settings import Settings
from shared.lifecycle import Runtime, Service, run
from shared.messaging.contract import Delivery, Source
from shared.models.batch import Batch
from shared.models.batch_items import Items
from shared.models.event import Event
from shared.storage.batch_contract import BatchWrites
from shared.storage.contract import Stored, Version, WriteResult
from tests.chaos.points import Points


def _adds(adapters: Adapters) -> Adapters:
    """What is told twice counts twice: sets are added up in place of being united."""

    def added(known: Items, told: Items) -> Items:
        return Items(
            known.started + told.started,
            known.succeeded + told.succeeded,
            known.failed + told.failed,
            known.canceled + told.canceled,
            known.expired + told.expired,
        )

    Items.__or__ = added  # type: ignore[method-assign]
    return adapters


def _counts_events(adapters: Adapters) -> Adapters:
    """A batch is over when as many events have come as it has items."""
    told: Counter[str] = Counter()
    return replace(
        adapters,
        source=_CountingSource(adapters.source, told),
        batches=_Counting(adapters.batches, told),
    )


PLANTED: Final[Mapping[str, Callable[[Adapters], Adapters]]] = {"adds": _adds, "counts-events": _counts_events}


class _CountingSource:
    def __init__(self, source: Source, told: Counter[str]) -> None:
        self._source = source
        self._told = told

    async def pull(self, subscription: str, *, limit: int, wait_seconds: float) -> Sequence[Delivery]:
        deliveries = await self._source.pull(subscription, limit=limit, wait_seconds=wait_seconds)
        events = [Event.decode(delivery.message.body) for delivery in deliveries]
        self._told.update(event.batch for event in events if event.batch and event.type in OUTCOMES)
        return deliveries

    async def acknowledge(self, delivery: Delivery) -> None:
        await self._source.acknowledge(delivery)

    async def extend(self, deliveries: Sequence[Delivery], *, seconds: int) -> None:
        await self._source.extend(deliveries, seconds=seconds)


class _Counting:
    def __init__(self, batches: BatchWrites, told: Counter[str]) -> None:
        self._batches = batches
        self._told = told

    async def read(self, id: str) -> Stored[Batch] | None:
        stored = await self._batches.read(id)
        if stored is None or stored.value.sealed_at is None or self._told[id] < stored.value.total:
            return stored
        batch = stored.value
        items = replace(batch.items, succeeded=batch.items.succeeded | batch.missing)
        return replace(stored, value=replace(batch, items=items))

    async def update(self, batch: Batch, held: Version) -> WriteResult:
        return await self._batches.update(batch, held)


@asynccontextmanager
async def aggregator(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    planted = Points(Path(os.environ["SLUICE_CHAOS_POINTS"])).planted()
    async with connected(settings) as adapters:
        altered = PLANTED[planted](adapters) if planted in PLANTED else adapters
        async with serving(settings, runtime, altered) as service:
            yield service


if __name__ == "__main__":
    run("aggregator", Settings, aggregator)
