"""Writing what a window heard into its batch: merge, conclude, tell, and start the reduction. One write a window.

Called by `windows`. The write is conditional, and a rival's is merged with ours. First the store knows, then gateways
(through Redis, best effort) and listeners are told; only then does whoever told us acknowledge. A crash anywhere in
between brings the same events again, which find the batch as it is and repeat what was not told.
"""

import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from services.aggregator.fan_in import Heard, merged
from services.aggregator.measures import Measures
from services.aggregator.telling import Telling
from shared.clock import Clock
from shared.ids import Ids
from shared.models.batch import Batch, Reduction
from shared.storage.batch_contract import BatchWrites, change

REMEMBERED: Final = 10_000
"""Batches of which this instance knows what it wrote and told last."""
MOST_SPACING: Final = 8.0
"""Times the spacing of one instance, however many others write."""

_log = logging.getLogger("sluice.aggregator")


@dataclass(slots=True)
class _Last:
    """What this instance did with a batch last."""

    revision: int = 0
    reducing: bool = False
    """It has published the job of its reduction."""
    told: bool = False
    """It has told of its end."""


@dataclass(frozen=True, slots=True)
class Merging:
    """spacing_seconds: between two writes of a batch by one instance."""

    batches: BatchWrites
    telling: Telling
    ids: Ids
    clock: Clock
    measures: Measures
    spacing_seconds: float
    _last: OrderedDict[str, _Last] = field(default_factory=OrderedDict)

    async def commit(self, id: str, heard: Heard) -> float:
        """Seconds until the batch may be written again. Raises StoreUnavailable, BrokerUnavailable, Overloaded."""
        last = self._remembered(id)
        before = 0

        def step(batch: Batch) -> Batch:
            nonlocal before
            before = batch.revision
            return self._with_reduction(merged(batch, heard, at=self.clock.now()))

        batch = await change(self.batches, id, step)
        if batch is None:
            _log.warning("events are about a batch that is not there", extra={"batch": id})
            return self.spacing_seconds
        rivals = before - last.revision if last.revision else 0
        last.revision = batch.revision
        self.measures.merged(batch, heard, wrote=batch.revision != before)
        await self._told(batch, last, changed=batch.revision != before)
        return self.spacing_seconds * min(MOST_SPACING, 1.0 + max(0, rivals))

    def _with_reduction(self, batch: Batch) -> Batch:
        """With its reduction, if it is time for that: written with the last outcomes, and published behind that."""
        if not batch.wants_reduction or batch.reduction is not None:
            return batch
        return batch.reducing(Reduction(self.ids.reduction(batch.spec.tenant, batch.spec.id).text))

    async def _told(self, batch: Batch, last: _Last, *, changed: bool) -> None:
        if batch.wants_reduction and batch.reduction is not None and not last.reducing:
            await self.telling.reduce(batch, batch.reduction.job)
            last.reducing = True
        ends = batch.status.terminal and not last.told
        if changed or ends:
            await self.telling.state(batch)
        if ends:
            await self.telling.over(batch)
            last.told = True
            self.measures.over(batch)

    def _remembered(self, id: str) -> _Last:
        last = self._last.setdefault(id, _Last())
        self._last.move_to_end(id)
        if len(self._last) > REMEMBERED:
            self._last.popitem(last=False)
        return last
