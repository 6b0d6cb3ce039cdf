"""Runs the attempts of jobs: those of reducers with the outputs of their batch, all others as they are.

Called by `work` for each attempt. Whatever stands between a reducer and its outputs is an outcome, as everything is
that comes of an attempt.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from services.worker.execution.engine import Engine
from services.worker.execution.outcomes import Interrupted, Outcome, Rejected
from services.worker.execution.task import OnReport, Task
from services.worker.feed import Feed
from shared.clock import Clock
from shared.errors import Overloaded, Unavailable
from shared.ids import Ids
from shared.models.batch import Batch
from shared.models.job import JobSpec
from shared.storage.batch_contract import BatchReader
from shared.storage.contract import JobOutcomes


@dataclass(frozen=True, slots=True)
class Reducing:
    """
    output_bytes: the largest output that this worker's runners take.
    chance: uniform in 0…1.
    """

    engine: Engine
    batches: BatchReader
    outcomes: JobOutcomes
    ids: Ids
    output_bytes: int
    clock: Clock
    chance: Callable[[], float]

    async def run(self, spec: JobSpec, task: Task, *, on_report: OnReport) -> Outcome:
        """As `Engine.run`."""
        if not self.engine.reduces(task.handler):
            return await self.engine.run(task, on_report=on_report)
        batch = await self._batch(spec)
        if not isinstance(batch, Batch):
            return batch
        feed = self._feed(batch, task)
        serving = asyncio.create_task(feed.serve(), name=f"outputs of {batch.spec.id}")
        serving.add_done_callback(partial(self._served, task.run_id))
        try:
            outcome = await self.engine.run(task, on_report=on_report, outputs=feed)
        finally:
            serving.cancel()
            await asyncio.wait({serving})
        if not serving.cancelled():
            serving.result()  # what should not happen, unless the run was given up
        return outcome

    async def _batch(self, spec: JobSpec) -> Batch | Interrupted | Rejected:
        if spec.batch is None:
            return Rejected(f"{spec.handler} reduces the outputs of a batch; this job is of none")
        try:
            stored = await self.batches.read(spec.batch)
        except (Unavailable, Overloaded) as fault:
            return Interrupted(f"its batch cannot be read ({type(fault).__name__})")
        if stored is None or stored.value.deleted_at is not None:
            return Rejected("The batch is not there any more: it was deleted")
        return stored.value

    def _feed(self, batch: Batch, task: Task) -> Feed:
        return Feed(
            batch,
            self.ids,
            self.outcomes,
            output_bytes=self.output_bytes,
            give_up=partial(self.engine.give_up, task.run_id),
            clock=self.clock,
            chance=self.chance,
        )

    def _served(self, run_id: str, serving: "asyncio.Task[None]") -> None:
        """A run whose feed has failed must not wait for it until its time is over."""
        if not serving.cancelled() and serving.exception() is not None:
            self.engine.give_up(run_id, Interrupted("the feed of its outputs failed"))
