"""Any history of a batch comes to the same end: what its items' own documents say, told once, and never hung.

Items start and end in any order, are told of never, once or often; aggregators come, are killed (also right behind a
write, before anything is told) and share the work; store and broker fail in between. At the end all heals.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.messaging.memory import Outage
from shared.models import bitmap
from shared.models.batch import Batch, BatchStatus
from shared.models.envelope import Envelope
from shared.models.job import Job, JobStatus, Lane
from shared.storage.contract import Version
from tests.unit.services.aggregator.bench import ENDS, NAMES, Bench

T = TypeVar("T")

TOTAL = 7
MOST_INSTANCES = 3
INDEXES = st.integers(0, TOTAL - 1)


class AnyHistory(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.bench = Bench({"silence_seconds": 20.0, "pulls": 1})
        self.sealed = self.canceled = False
        self.end: BatchStatus | None = None

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize(reduce=st.booleans())
    def begin(self, reduce: bool) -> None:
        self.batch: Batch = self.do(self.bench.open(reduce=reduce))
        self.do(self.bench.start())

    @rule(index=INDEXES, status=st.sampled_from(ENDS), told=st.integers(0, 2))
    def end_item(self, index: int, status: JobStatus, told: int) -> None:
        async def act() -> None:
            job = await self._job(index) or await self.bench.begin(self.batch, index)
            over = job if job.status.terminal else await self.bench.end(job, status)
            for _ in range(told):
                await self.bench.tell_of(over)

        self.do(act())

    @rule(index=INDEXES)
    def start_item(self, index: int) -> None:
        async def act() -> None:
            if await self._job(index) is None:
                await self.bench.tell_of(await self.bench.begin(self.batch, index, lease_seconds=5))

        self.do(act())

    @precondition(lambda self: not self.sealed)
    @rule()
    def seal(self) -> None:
        self.sealed = True
        self.do(self.bench.seal(self.batch, TOTAL))

    @precondition(lambda self: self.sealed and not self.canceled)
    @rule()
    def cancel(self) -> None:
        self.canceled = True
        self.do(self.bench.cancel(self.batch))

    @rule(seconds=st.sampled_from([0.05, 0.5, 2.0, 12.0]))
    def pass_time(self, seconds: float) -> None:
        self.do(self.bench.clock.advance(seconds))

    @precondition(lambda self: len(self.bench.instances) < MOST_INSTANCES)
    @rule()
    def start_aggregator(self) -> None:
        self.do(self.bench.start())

    @precondition(lambda self: self.bench.instances)
    @rule(number=st.integers(0, MOST_INSTANCES - 1))
    def kill_aggregator(self, number: int) -> None:
        self.do(self.bench.instances.pop(number % len(self.bench.instances)).kill())

    @precondition(lambda self: self.bench.instances)
    @rule()
    def kill_behind_the_next_write(self) -> None:
        doomed = list(self.bench.instances)

        def kill() -> None:
            for each in doomed:
                each.task.cancel()

        async def act() -> None:
            self.bench.batches.on_write = kill
            await self.bench.clock.advance(3)
            self.bench.batches.on_write = lambda: None
            self.bench.instances = [each for each in doomed if not each.task.done()]

        self.do(act())

    @rule()
    def lose_the_store(self) -> None:
        async def act() -> None:
            self.bench.database.fail()
            await self.bench.clock.advance(3)
            self.bench.database.heal()

        self.do(act())

    @rule(outage=st.sampled_from(Outage))
    def lose_the_broker(self, outage: Outage) -> None:
        async def act() -> None:
            self.bench.broker.outage = outage
            await self.bench.clock.advance(2)
            self.bench.broker.outage = None

        self.do(act())

    @invariant()
    def nothing_is_shown_that_is_not_so(self) -> None:
        if not hasattr(self, "batch"):
            return
        stored, truth = self.do(self.bench.stored(self.batch)), self.do(self.bench.recomputed(self.batch, TOTAL))
        for status in ENDS:
            known = getattr(stored.items, str(status))
            assert not known & ~bitmap.of(truth[status]), status
        if stored.status.terminal:
            assert self.sealed
            assert sum(map(len, truth.values())) == TOTAL
            assert self.end in {None, stored.status}
            self.end = stored.status
        assert len(set(self.bench.ends_told(self.batch))) <= 1

    def teardown(self) -> None:
        try:
            if hasattr(self, "batch"):
                self.do(self._heal())
        finally:
            self.do(self.bench.stop())
            self.runner.close()

    async def _heal(self) -> None:
        """Whatever was going on ends, unheard; then it has a few minutes."""
        bench = self.bench
        if not bench.instances:
            await bench.start()
        if not self.sealed:
            await bench.seal(self.batch, TOTAL)
        for index in range(TOTAL):
            job = await self._job(index) or await bench.begin(self.batch, index)
            if not job.status.terminal:
                await bench.end(job)
        for number in range(5):
            await bench.clock.advance(50)
            await self._reduce()
            if number == 1:  # those who had heard of the batch may be dead, and nobody tells of it any more
                await bench.deadline(self.batch)
        after, truth = await bench.stored(self.batch), await bench.recomputed(self.batch, TOTAL)
        assert after.status.terminal
        for status in ENDS:
            assert tuple(bitmap.members(getattr(after.items, str(status)))) == truth[status]
        assert set(bench.ends_told(self.batch)) == {f"{self.batch.spec.id}:batch.{after.status}"}
        assert bench.waiting() == 0
        if after.status is BatchStatus.COMPLETED and self.batch.spec.reduce is not None:
            assert after.reduction is not None
            assert after.reduction.output == b"42"

    async def _reduce(self) -> None:
        """A worker runs the reduction, and nobody is told."""
        queue = NAMES.reader(NAMES.jobs("texts", Lane.BULK), "worker")
        asked = [Envelope.decode(message.body).spec for message in self.bench.broker.undelivered(queue)]
        specs = {spec.id: spec for spec in asked}
        assert len(specs) <= 1
        for spec in specs.values():
            job = Job.queued(spec).claimed(attempt=1, fence="f", worker="w", lease_seconds=9, at=1)
            if isinstance(await self.bench.jobs.create(job), Version):
                await self.bench.end(job, output=b"42")

    async def _job(self, index: int) -> Job | None:
        stored = await self.bench.jobs.read(self.bench.item_id(self.batch, index))
        return stored.value if stored else None


AnyHistory.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestAnyHistory = AnyHistory.TestCase
