"""Reductions by a worker on the real emulators: page by page, in bounded memory, again after whatever ends them."""

import os
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from deploy.local.backends import Backends
from services.worker.app import Adapters
from shared.errors import StoreUnavailable
from shared.models.batch import Batch
from shared.models.job import ErrorCode, Job, JobStatus
from shared.storage.batch_contract import BatchReader
from shared.storage.contract import JobOutcomes, Stored, Version
from tests.integration.worker_reduce.bench import NO_OUTPUT, Bench, bench, until_lines, worker_process

MANY = 2_500
MEBIBYTE = 1_048_576


@dataclass
class Wrapped:
    """The store's outcomes and batches; they fail as often as they are told to, and count."""

    batches: BatchReader | None = None
    jobs: JobOutcomes | None = None
    batch_faults: int = 0
    outcome_faults: int = 0
    asked: list[int] = field(default_factory=list)

    def around(self, adapters: Adapters) -> Adapters:
        self.batches, self.jobs = adapters.batches, adapters.outcomes
        return replace(adapters, batches=self, outcomes=self)

    async def read(self, id: str) -> Stored[Batch] | None:
        assert self.batches is not None
        if self.batch_faults:
            self.batch_faults -= 1
            raise StoreUnavailable("as the test has it")
        return await self.batches.read(id)

    async def outcomes(self, ids: Sequence[str]) -> Sequence[Job | None]:
        assert self.jobs is not None
        if self.outcome_faults:
            self.outcome_faults -= 1
            raise StoreUnavailable("as the test has it")
        self.asked.append(len(ids))
        return await self.jobs.outcomes(ids)


@pytest_asyncio.fixture(scope="session")
async def store() -> Wrapped:
    return Wrapped()


@pytest_asyncio.fixture(scope="session")
async def b(backends: Backends, store: Wrapped) -> AsyncIterator[Bench]:
    async with bench(backends, store.around) as running:
        yield running


@pytest.fixture
def pause(tmp_path: Path) -> dict[str, Any]:
    return {"behind": 120, "begun": str(tmp_path / "begun"), "go": str(tmp_path / "go")}


def go(pause: dict[str, Any]) -> None:
    Path(pause["go"]).touch()


def parts(count: int, filling: int = 0) -> list[dict[str, Any]]:
    return [{"n": n, "filling": "x" * filling} for n in range(count)]


def answer(job: Job) -> Any:
    assert job.status is JobStatus.SUCCEEDED, job.error
    assert job.output is not None
    return orjson.loads(job.output)


async def test_many_outputs_are_read_in_little_memory(b: Bench) -> None:
    """20 MB of outputs, of which the process that reduces them holds a page or two."""
    found = answer(await b.reduce(parts(MANY, filling=8_000), "sum.process"))
    assert found["total"] == sum(range(MANY))
    assert found["grown"] < 6 * MEBIBYTE


async def test_a_built_in_reducer_runs_on_the_queue_of_the_batch(b: Bench) -> None:
    outputs: list[object] = [*parts(700), NO_OUTPUT, {"n": 0.5}]
    assert answer(await b.reduce(outputs, "sum", {"field": "/n"})) == sum(range(700)) + 0.5
    assert answer(await b.reduce(outputs, "count")) == 701
    assert answer(await b.reduce([1, NO_OUTPUT, "b"], "collect")) == [1, "b"]
    assert answer(await b.reduce([], "sum")) == 0


async def test_what_a_reducer_cannot_take_fails_its_job_once_and_says_where(b: Bench) -> None:
    job = await b.reduce([{"n": 1}, NO_OUTPUT, {"n": "x"}], "sum", {"field": "/n"})
    assert job.error is not None
    assert (job.status, job.error.code, job.attempt) == (JobStatus.FAILED, ErrorCode.REJECTED, 1)
    assert job.error.message == "The output of item 2 has no number at /n, but a string"
    job = await b.reduce([{"n": 1}, {"n": "x"}], "sum.process")
    assert job.error is not None
    assert job.error.message.startswith("The output of item 1 is not what the reducer takes: /n: ")


async def test_what_is_collected_beyond_the_limit_of_an_output_is_a_failure_of_its_own(b: Bench) -> None:
    for size, count in ((60_000, 10), (60_000, 30)):
        job = await b.reduce(["x" * size] * count, "collect")
        assert job.error is not None
        assert (job.error.code, job.attempt) == (ErrorCode.OUTPUT_TOO_LARGE, 1)


async def test_the_largest_outputs_pass_one_by_one(b: Bench) -> None:
    filling = 512 * 1_024 - 40
    found = answer(await b.reduce([{"n": n, "filling": "x" * filling} for n in range(8)], "sum.process"))
    assert found["total"] == 28


@pytest.mark.parametrize("handler", ["pause.loop", "pause.thread"])
async def test_a_slow_reducer_is_waited_for_with_one_read_ahead(
    b: Bench, store: Wrapped, pause: dict[str, Any], handler: str
) -> None:
    store.asked.clear()
    spec = b.reduction(await b.batch(parts(2_000), handler, pause))
    await b.publish(spec)
    await until_lines(Path(pause["begun"]), 1)
    assert answer(await b.reduce([1], "count")) == 1  # time enough for what nobody waits for
    assert sum(store.asked) <= 1_500
    go(pause)
    assert answer(await b.over(spec.id))["total"] == sum(range(2_000))
    assert sum(store.asked) == 2_000


async def test_a_reduction_whose_process_is_killed_is_done_again_and_right(b: Bench, pause: dict[str, Any]) -> None:
    spec = b.reduction(await b.batch(parts(600), "pause.loop", pause))
    await b.publish(spec)
    [runner] = await until_lines(Path(pause["begun"]), 1)
    os.kill(runner, signal.SIGKILL)
    first, second = await until_lines(Path(pause["begun"]), 2)
    assert second != first
    go(pause)
    job = await b.over(spec.id)
    assert answer(job)["total"] == sum(range(600))
    assert (job.attempt, job.lost) == (1, 1)


async def test_a_reduction_whose_worker_is_killed_is_done_again_by_another(
    backends: Backends, pause: dict[str, Any]
) -> None:
    async with bench(backends, queues=("none",), lease_seconds=2) as own:
        spec = own.reduction(await own.batch(parts(600), "pause.thread", pause))
        with worker_process(own.settings) as first:
            await own.publish(spec)
            await until_lines(Path(pause["begun"]), 1)
            first.kill()
        with worker_process(own.settings):
            begun = await until_lines(Path(pause["begun"]), 2)
            go(pause)
            job = await own.over(spec.id)
    assert len(set(begun)) == 2
    assert (answer(job)["total"], job.attempt, job.lost) == (sum(range(600)), 1, 1)


@pytest.mark.parametrize("handler", ["pause.loop", "pause.thread"])
async def test_a_canceled_reduction_ends_soon(b: Bench, pause: dict[str, Any], handler: str) -> None:
    spec = b.reduction(await b.batch(parts(600), handler, pause))
    await b.publish(spec)
    await until_lines(Path(pause["begun"]), 1)
    stored = await b.jobs.read(spec.id)
    assert stored is not None
    asked = stored.value.cancel_requested(at=b.adapters.clock.now())
    assert isinstance(await b.jobs.update(asked, stored.version), Version)
    assert (await b.over(spec.id)).status is JobStatus.CANCELED
    assert answer(await b.reduce(parts(3), "sum", {"field": "/n"})) == 3


async def test_a_reduction_that_takes_too_long_begins_anew_in_its_next_attempt(b: Bench, pause: dict[str, Any]) -> None:
    spec = b.reduction(await b.batch(parts(600), "pause.thread", pause, timeout=2.0))
    await b.publish(spec)
    waiting = await b.until(spec.id, lambda job: job.status is JobStatus.SCHEDULED)
    assert [each.code for each in waiting.attempts] == [ErrorCode.ATTEMPT_TIMEOUT]
    go(pause)
    await b.publish(spec, attempt=2)
    job = await b.over(spec.id)
    assert (answer(job)["total"], job.attempt) == (sum(range(600)), 2)


@pytest.mark.parametrize(("batch_faults", "outcome_faults"), [(2, 0), (0, 3), (0, 7)])
async def test_a_store_that_does_not_answer_costs_a_reduction_no_attempt(
    b: Bench, store: Wrapped, batch_faults: int, outcome_faults: int
) -> None:
    """Seven faults are more than one run waits for: it is given up, and the job comes again."""
    spec = b.reduction(await b.batch(parts(300), "sum.slow"))
    store.batch_faults, store.outcome_faults = batch_faults, outcome_faults
    await b.publish(spec)
    job = await b.over(spec.id)
    assert answer(job)["total"] == sum(range(300))
    assert (job.attempt, job.lost, job.attempts) == (1, 0, ())
    assert (store.batch_faults, store.outcome_faults) == (0, 0)


async def test_an_item_whose_output_was_deleted_fails_the_reduction(b: Bench) -> None:
    batch = await b.batch(parts(300), "sum", {"field": "/n"})
    stored = await b.jobs.read(b.ids.item("acme", batch.spec.id, 217).text)
    assert stored is not None
    erased = stored.value.erased(at=b.adapters.clock.now())
    assert isinstance(await b.jobs.replace(erased, stored.version), Version)
    spec = b.reduction(batch)
    await b.publish(spec)
    job = await b.over(spec.id)
    assert job.error is not None
    assert (job.error.code, job.error.message) == (
        ErrorCode.REJECTED,
        "The output of item 217 is not there any more: it was deleted",
    )


async def test_a_reduction_without_its_batch_is_refused(b: Bench) -> None:
    batch = await b.batch([1], "sum")
    alone = replace(b.reduction(batch), id=b.ids.item("acme", batch.spec.id, 77).text, batch=None)
    await b.publish(alone)
    job = await b.over(alone.id)
    assert job.error is not None
    assert "of a batch; this job is of none" in job.error.message
    stored = await b.batches.read(batch.spec.id)
    assert stored is not None
    await b.batches.replace(stored.value.erased(at=1), stored.version)
    spec = b.reduction(batch)
    await b.publish(spec)
    job = await b.over(spec.id)
    assert job.error is not None
    assert "was deleted" in job.error.message
    assert job.status is JobStatus.FAILED


async def test_events_of_items_and_of_the_reduction_say_which_they_are(
    backends: Backends, pause: dict[str, Any]
) -> None:
    async with bench(backends) as own:
        batch = await own.batch([1, 2], "sum")
        ids = [own.ids.item("acme", batch.spec.id, index).text for index in (10, 11)]
        slow = replace(batch.spec, handler="item.wait").item(ids[0], 10, orjson.dumps(pause["go"]))
        await own.publish(slow)
        await own.publish(batch.spec.item(ids[1], 11, b"5"))
        await own.publish(own.reduction(batch))
        [started] = [
            event for event in await own.events(3) if event.type == "job.started" and event.data["index"] == 10
        ]
        go(pause)
        assert (started.batch, started.data["id"]) == (batch.spec.id, slow.id)
        [over] = [event for event in await own.events(1) if event.data["index"] == 10]
        assert (over.type, over.batch) == ("job.succeeded", batch.spec.id)
