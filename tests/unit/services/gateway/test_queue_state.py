"""What keeps workers from a job that waits for one: a paused queue, nobody who works, or a long line."""

from dataclasses import replace
from typing import Final

import pytest

from services.gateway.catalogue.handlers import Handlers
from services.gateway.jobs.queue_state import QueueStates
from shared.cache.lanes import QUIET_SECONDS, SILENT_SECONDS, WARM_SECONDS, Hold, LaneReport, Totals
from shared.cache.memory_lanes import MemoryLanes
from shared.clock import ManualClock
from shared.messaging.topics import Names
from shared.models.handler import HandlerEntry
from shared.models.job import Lane
from shared.models.queue import QueueControl
from shared.storage.explanation import Explanation, QueueState, Reason, in_queue
from shared.storage.memory import MemoryCatalogue, MemoryDatabase, MemoryQueueControls

NAMES: Final = Names("here")
QUEUED: Final = Explanation(Reason.WAITING_FOR_WORKER, "No worker has claimed it yet.", since=5)


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.database = MemoryDatabase(self.clock)
        self.controls = MemoryQueueControls(self.database)
        self.board = MemoryLanes()
        self.handlers = Handlers(MemoryCatalogue(self.database), self.clock)
        self.states = QueueStates(self.handlers, self.controls, self.board, NAMES, self.clock)

    async def worker_tells(self, in_flight: int = 0, *, published: int = 0) -> None:
        """A worker that finds the lane empty at first, so that its figures are known; then others publish."""
        lane = NAMES.jobs("texts", Lane.INTERACTIVE)
        for _ in range(2):
            report = LaneReport(lane, Totals(), Hold(in_flight, empty=not in_flight))
            await self.board.tell("worker-1", 0, [report], at=self.clock.now())
            await self.clock.advance(max(WARM_SECONDS, QUIET_SECONDS))
        report = LaneReport(lane, Totals(published=published), published_from=self.clock.now())
        await self.board.tell("gateway-1", self.clock.now(), [report], at=self.clock.now())
        await self.board.tell("worker-1", 0, [LaneReport(lane, Totals(), Hold(in_flight))], at=self.clock.now())

    async def look(self) -> QueueState:
        return await self.states.of("texts", Lane.INTERACTIVE)


async def test_what_nobody_knows_is_none() -> None:
    b = Bench()
    assert await b.look() == QueueState("texts")
    b.board.stop()
    b.database.fail()
    assert await b.look() == QueueState("texts")


async def test_backlog_and_workers_are_those_of_the_lane() -> None:
    b = Bench()
    await b.worker_tells(published=3)
    found = await b.look()
    assert (found.backlog, found.workers, found.paused_at) == (3, 1, None)


async def test_a_worker_that_fell_silent_is_not_seen() -> None:
    b = Bench()
    await b.worker_tells(published=1)
    await b.clock.advance(SILENT_SECONDS + 1)
    await b.board.tell("gateway-1", 0, [], at=b.clock.now())
    assert (await b.look()).workers in {0, None}


async def test_a_pause_is_known_and_forgotten() -> None:
    b = Bench()
    await b.controls.put(QueueControl("texts", 77))
    await b.controls.put(QueueControl("images", 88))
    assert (await b.look()).paused_at == 77
    await b.controls.put(QueueControl("texts"))
    assert (await b.look()).paused_at is None


async def test_the_queue_of_a_job_without_a_document_is_its_handlers() -> None:
    b = Bench()
    entry = HandlerEntry("text.stats", "texts", "1", {}, {}, 1.0, 1, 0)
    await MemoryCatalogue(b.database).announce([entry])
    await b.handlers.find("text.stats")
    await b.controls.put(QueueControl("texts", 77))
    assert await b.states.of_handler("text.stats", Lane.BULK) == QueueState("texts", 77)
    assert await b.states.of_handler("no.such", Lane.BULK) is None


@pytest.mark.parametrize("reason", [Reason.WAITING_FOR_WORKER, Reason.DUE, Reason.RELEASED, Reason.LEASE_LAPSED])
def test_a_pause_outranks_all_else_that_keeps_workers_away(reason: Reason) -> None:
    why = in_queue(replace(QUEUED, reason=reason), QueueState("texts", 1_750_000_000_000, backlog=5, workers=0))
    assert (why.reason, why.since) == (Reason.QUEUE_PAUSED, 5)
    assert "texts" in why.detail
    assert "2025-06-15T15:06:40.000Z" in why.detail


def test_no_worker_is_named_only_when_it_is_known_that_there_is_none() -> None:
    assert in_queue(QUEUED, QueueState("texts", workers=0)).reason is Reason.NO_WORKER_SEEN
    assert in_queue(QUEUED, QueueState("texts", workers=None)) == QUEUED
    assert in_queue(QUEUED, None) == QUEUED


def test_the_line_is_told_in_the_detail() -> None:
    for backlog, said in ((1, "1 message waits"), (1_204, "1204 messages wait")):
        why = in_queue(QUEUED, QueueState("texts", backlog=backlog, workers=2))
        assert why.reason is Reason.WAITING_FOR_WORKER
        assert said in why.detail
    assert in_queue(QUEUED, QueueState("texts", backlog=0, workers=2)) == QUEUED


def test_what_waits_for_no_worker_is_left_as_it_is() -> None:
    for reason in set(Reason) - {Reason.WAITING_FOR_WORKER, Reason.DUE, Reason.RELEASED, Reason.LEASE_LAPSED}:
        why = replace(QUEUED, reason=reason)
        assert in_queue(why, QueueState("texts", 1, backlog=5, workers=0)) == why
