"""Events into windows: what an event says is written with whatever else is told at the time, then it is acknowledged.

| event | what is done |
|---|---|
| `job.*` with a batch | the item's bit, or the reduction's outcome, goes into the batch's window |
| `batch.sealed` | the batch is looked at: what was told before may have been all |
| `batch.cancel_requested`, `batch.deadline` | what has not reported is settled, until the batch is over |
| all that is counted | goes into the window of the statistics |
| any other | nothing: it is for other readers |
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from services.aggregator.fan_in import OUTCOMES, Heard, item_status, reduction_of
from services.aggregator.measures import Measures
from services.aggregator.settle import Settling, Why
from services.aggregator.silence import Silence
from services.aggregator.windows import Window, Windows
from shared.errors import Overloaded, Refused, StoreUnavailable, Unavailable
from shared.ids import Ids
from shared.messaging.contract import Acknowledge, Delivery, Redeliver, Verdict
from shared.models.batch_public import CANCEL_REQUESTED, DEADLINE, SEALED
from shared.models.event import Event, MalformedEvent
from shared.storage.contract import JobReader

RETRY_SECONDS: Final = 2.0
UNFINISHED_SECONDS: Final = 10.0
"""Before a batch that is to end, and has items that others have to end, is looked at again."""
REFUSED_SECONDS: Final = 60.0
REMEMBERED: Final = 1_024
"""Batches whose items' ids can be computed without preparation."""

_WHY: Final = {CANCEL_REQUESTED: Why.CANCEL, DEADLINE: Why.DEADLINE}

_log = logging.getLogger("sluice.aggregator")


class Counting(Protocol):
    """The statistics, as far as events go into them."""

    def count(self, event: Event) -> Window[Any] | None:
        """The window that the event was counted in; None where nothing of it is counted."""
        ...


@dataclass(frozen=True, slots=True)
class Consuming:
    windows: Windows[Heard]
    settling: Settling
    silence: Silence
    statistics: Counting
    jobs: JobReader
    ids: Ids
    measures: Measures
    _ids_of: "OrderedDict[str, Callable[[int], str] | None]" = field(default_factory=OrderedDict)

    async def handle(self, delivery: Delivery) -> Verdict:
        try:
            event = Event.decode(delivery.message.body)
        except MalformedEvent as fault:
            _log.error("an event is malformed", extra={"message_id": delivery.message_id, "fault": str(fault)})
            self.measures.malformed.inc()
            return Acknowledge()
        try:
            verdict = await self._take(event)
        except Refused as fault:
            _log.error("an event cannot be written", extra={"event": event.id, "fault": type(fault).__name__})
            verdict = Redeliver(REFUSED_SECONDS)
        except (Unavailable, Overloaded) as fault:
            _log.warning("an event has to wait", extra={"event": event.id, "fault": type(fault).__name__})
            verdict = Redeliver(RETRY_SECONDS)
        (self.measures.handled if isinstance(verdict, Acknowledge) else self.measures.postponed).inc()
        return verdict

    async def _take(self, event: Event) -> Verdict:
        counted = self.statistics.count(event)
        told = await self._tell(event) if event.batch is not None else Acknowledge()
        if counted is not None:
            await counted.committed()
        return told

    async def _tell(self, event: Event) -> Verdict:
        """Return once its batch knows what it says."""
        id_of = self._items_of(event)
        if id_of is None:
            _log.error("an event names a batch that was never issued", extra={"event": event.id})
            return Acknowledge()
        assert event.batch is not None
        if event.type in _WHY:
            return await self._settle(event.batch, _WHY[event.type])
        if event.type == SEALED:
            self.silence.heard(event.batch)
            await self.windows.open(event.batch).committed()
        elif event.type.startswith("job."):
            await self._item(event, event.batch, id_of)
        return Acknowledge()

    async def _item(self, event: Event, batch: str, id_of: Callable[[int], str]) -> None:
        item = item_status(event, id_of)
        if item is not None:
            self.silence.heard(batch)
            window = self.windows.open(batch)
            window.said.put(*item)
            await window.committed()
        elif event.type in OUTCOMES and event.data["id"] == self.ids.reduction(event.tenant, batch).text:
            await self._reduced(event.data["id"], batch)

    async def _reduced(self, id: str, batch: str) -> None:
        """The answer is in the job; an event has no room for it."""
        stored = await self.jobs.read(id)
        if stored is None or not stored.value.status.terminal:
            raise StoreUnavailable("an event was faster than the store")
        window = self.windows.open(batch)
        window.said.reduction = reduction_of(stored.value)
        await window.committed()

    async def _settle(self, batch: str, why: Why) -> Verdict:
        """What is done is done again until the batch is over, for only then is nothing left that could be lost."""
        looked = await self.settling.settle(batch, why)
        if looked.over:
            return Acknowledge()
        again = await self.settling.batches.read(batch)
        over = again is None or again.value.status.terminal
        return Acknowledge() if over else Redeliver(UNFINISHED_SECONDS)

    def _items_of(self, event: Event) -> Callable[[int], str] | None:
        """Computes the ids of the batch's items; None for a batch that this tenant was never issued."""
        key = f"{event.tenant}\0{event.batch}"
        if key not in self._ids_of:
            known = self.ids.verify("bat", event.tenant, event.batch or "")
            self._ids_of[key] = self.ids.items(event.tenant, known.text) if known else None
            if len(self._ids_of) > REMEMBERED:
                self._ids_of.popitem(last=False)
        return self._ids_of[key]
