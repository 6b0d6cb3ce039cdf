"""The judge of batches on evidence made up by hand: silent on sound evidence, and each lie noticed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from shared.models.batch import Batch, BatchSpec, ReduceSpec, Reduction
from shared.models.batch_items import Items
from shared.models.batch_public import end_event, render_batch
from shared.models.job import ErrorCode, Job, JobError, JobSpec, JobStatus
from tests.chaos.batch_evidence import Seen
from tests.chaos.batches import Wanted
from tests.chaos.rules.batching import judge_batches, require_conclusive

BORN = 1_750_000_000_000
TASKS = ({"work": "a", "amount": 3}, {"work": "b", "amount": 4}, {"work": "c", "reject": True})
SPEC = BatchSpec("bat_1", "acme", "chaos.work", "chaos", BORN, BORN + 60_000, 30.0, 3)
REDUCED = replace(SPEC, reduce=ReduceSpec("sum", "chaos", b'{"field":"/amount"}', 30.0, 3))
REJECTED = JobError(ErrorCode.REJECTED, "as asked", retryable=False)


def job(index: int) -> Job:
    spec = JobSpec(f"job_{index}", "acme", "chaos.work", "chaos", b"{}", BORN, BORN + 60_000, 30.0, 3)
    running = Job.queued(spec).claimed(attempt=1, fence="f", worker="w", lease_seconds=4, at=BORN)
    if TASKS[index].get("reject"):
        return running.failed(REJECTED, at=BORN + 1)
    return running.succeeded(orjson.dumps({"amount": TASKS[index]["amount"], "run": "r"}), at=BORN + 1)


def shown(batch: Batch) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(render_batch(batch))
    return found


def sound() -> Seen:
    batch = Batch(REDUCED).sealed(3, at=BORN).merged(Items(started=0b111, succeeded=0b011, failed=0b100))
    batch = batch.reducing(Reduction("job_r", JobStatus.SUCCEEDED, b"7")).concluded(at=BORN + 2)
    items = {index: job(index) for index in range(3)}
    outputs = [
        {"index": index, "status": str(each.status), "output": each.output and orjson.loads(each.output)}
        for index, each in items.items()
    ]
    listed = {"succeeded": [0, 1], "failed": [2]}
    reduction = replace(job(0), output=b"7")
    wanted = Wanted("b", TASKS, {"handler": "sum", "field": "/amount"})
    ends = [end_event(batch, source="aggregator")] * 2
    return Seen(wanted, frozenset({"bat_1"}), batch, items, reduction, shown(batch), listed, outputs, ends)


def of_batch(**fields: Any) -> Callable[[Seen], Seen]:
    return lambda seen: replace(seen, batch=replace(seen.batch, **fields))  # type: ignore[type-var]


def of_item(index: int, change: Callable[[Job], Job | None]) -> Callable[[Seen], Seen]:
    def spoil(seen: Seen) -> Seen:
        changed = {each: change(found) if each == index else found for each, found in seen.items.items()}
        return replace(seen, items={each: found for each, found in changed.items() if found is not None})

    return spoil


def told_twice(seen: Seen) -> Seen:
    return replace(seen, ends=[*seen.ends, replace(seen.ends[0], id="bat_1:batch.completed:2")])


SPOILT: dict[str, tuple[Callable[[Seen], Seen], set[str]]] = {
    "two batches": (lambda seen: replace(seen, ids=frozenset({"bat_1", "bat_2"})), {"R17"}),
    "nothing stored": (lambda seen: replace(seen, batch=None), {"R18"}),
    "an item still runs": (of_item(1, lambda _: replace(job(1), status=JobStatus.RUNNING)), {"R17", "R18"}),
    "an item has no document": (of_item(1, lambda _: None), {"R17", "R18"}),
    "it never ends": (lambda seen: replace(seen, batch=Batch(REDUCED).sealed(3, at=BORN)), {"R18"}),
    "an item is missing": (of_batch(total=2), {"R17"}),
    "an outcome is another": (of_batch(items=Items(succeeded=0b111)), {"R17"}),
    "it knows of an item that was never sent": (of_batch(items=Items(succeeded=0b1011, failed=0b100)), {"R17"}),
    "an item ended otherwise": (of_item(0, lambda each: each.failed(REJECTED, at=BORN)), {"R17"}),
    "the lists differ": (lambda seen: replace(seen, listed={"succeeded": [0], "failed": [2]}), {"R17"}),
    "the outputs differ": (lambda seen: replace(seen, outputs=seen.outputs[:2]), {"R17"}),
    "an output is another": (of_item(0, lambda each: replace(each, output=b'{"amount":9,"run":"r"}')), {"R17"}),
    "the answer differs": (lambda seen: replace(seen, shown={**seen.shown, "status": "canceled"}), {"R17"}),
    "the reduction is wrong": (of_batch(reduction=Reduction("job_r", JobStatus.SUCCEEDED, b"8")), {"R17"}),
    "it is not reduced": (of_batch(reduction=None), {"R17"}),
    "its end is not told": (lambda seen: replace(seen, ends=()), {"R18"}),
    "its end is two events": (told_twice, {"R18"}),
}


def test_sound_evidence_is_sound() -> None:
    assert judge_batches([sound()]) == []
    require_conclusive([sound()])


@pytest.mark.parametrize("name", SPOILT)
def test_a_lie_is_noticed(name: str) -> None:
    spoil, rules = SPOILT[name]
    assert {violation.rule for violation in judge_batches([spoil(sound())])} == rules


def test_evidence_in_which_nothing_was_completed_is_inconclusive() -> None:
    with pytest.raises(AssertionError, match="inconclusive"):
        require_conclusive([replace(sound(), batch=None)])
