"""A batch is what its items' documents say, everywhere and once. Run on what `batch_evidence` saw; pure.

Everything is computed again from the documents of the jobs: how many items ended how, what became of the batch, and
what its reduction must have come to. The numbers are those of `docs/guarantees.md`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

import orjson

from shared.models.batch import BatchStatus
from shared.models.job import JobStatus
from tests.chaos.batch_evidence import Seen
from tests.chaos.batches import reduced
from tests.chaos.rules.violation import Violation

BatchRule = Callable[[Seen], Iterator[Violation]]


def a_key_is_one_batch(seen: Seen) -> Iterator[Violation]:
    """R17: however often it was uploaded, and whoever answered."""
    if len(seen.ids) != 1:
        yield Violation("R17", seen.wanted.name, f"it was uploaded as {sorted(seen.ids) or 'nothing'}")


def it_is_over_iff_its_items_are(seen: Seen) -> Iterator[Violation]:
    """R18: and its reduction, where there is one."""
    batch = seen.batch
    if batch is None:
        yield Violation("R18", seen.wanted.name, "nothing is stored of it")
        return
    unfinished = [index for index in range(batch.total) if not _over(seen, index)]
    if unfinished and batch.status.terminal:
        yield Violation("R18", seen.wanted.name, f"it is {batch.status}, and its items {unfinished} are not over")
    if not unfinished and not batch.status.terminal:
        yield Violation("R18", seen.wanted.name, f"it is {batch.status}, and all {batch.total} items are over")


def it_has_all_that_was_uploaded(seen: Seen) -> Iterator[Violation]:
    """R17: an upload that was answered with 202 is complete; one that a cancel broke off may have less."""
    batch, sent = seen.batch, len(seen.wanted.tasks)
    if batch is None or batch.total == sent:
        return
    if batch.total > sent or batch.status is not BatchStatus.CANCELED:
        yield Violation("R17", seen.wanted.name, f"it has {batch.total} items; {sent} were sent")


def it_knows_nothing_that_is_not_so(seen: Seen) -> Iterator[Violation]:
    """R17: at any moment, an item that it takes for over is over, and in that way."""
    for index in () if seen.batch is None else range(seen.batch.items.least):
        said = [end for end in _ENDS if getattr(seen.batch.items, end) >> index & 1] if seen.batch else []
        if said and (index not in seen.items or said != [str(seen.items[index].status)]):
            yield Violation(
                "R17", seen.wanted.name, f"it says that item {index} is {' and '.join(said)}, and it is not"
            )


def it_counts_what_its_jobs_say(seen: Seen) -> Iterator[Violation]:
    """R17: in the document, in the answer, in what every event of its end carries, and in the lists and the outputs."""
    if seen.batch is None or not seen.batch.status.terminal:
        return
    truth = _statuses(seen)
    counts = dict.fromkeys((*_ENDS, "queued", "running"), 0) | dict(Counter(truth)) | {"total": len(truth)}
    said = {
        "the document": asdict(seen.batch.counts),
        "the answer": seen.shown.get("counts"),
        **{f"event {n}": end.data.get("counts") for n, end in enumerate(seen.ends)},
    }
    yield from _differing(seen, counts, said)
    by_status = {end: [index for index, status in enumerate(truth) if status == end] for end in _ENDS}
    yield from _differing(seen, by_status, {"the lists": {end: seen.listed.get(end, []) for end in _ENDS}})
    lines = [(line["index"], line["status"]) for line in seen.outputs]
    yield from _differing(seen, list(enumerate(truth)), {"the outputs": lines})


def its_outputs_are_those_of_its_jobs(seen: Seen) -> Iterator[Violation]:
    """R17: the stream has for each item what its document has."""
    for line in seen.outputs:
        job = seen.items.get(line["index"])
        stored = None if job is None or job.output is None else orjson.loads(job.output)
        if line["output"] != stored:
            yield Violation("R17", seen.wanted.name, f"the output of item {line['index']} is {line['output']}")


def it_ended_as_its_jobs_say(seen: Seen) -> Iterator[Violation]:
    """R17: canceled where a cancel stopped something of it, completed otherwise; everybody is told the same."""
    batch = seen.batch
    if batch is None or not batch.status.terminal:
        return
    sealed_late = batch.cancel_requested_at is not None and (batch.sealed_at or 0) > batch.cancel_requested_at
    reduction = None if seen.reduction is None else seen.reduction.status
    stopped = JobStatus.CANCELED in {*_statuses(seen), reduction} or sealed_late
    status = BatchStatus.CANCELED if stopped else BatchStatus.COMPLETED
    if stopped and seen.wanted.canceled_after is None:
        yield Violation("R17", seen.wanted.name, "nobody canceled it, and something of it is canceled")
    yield from _differing(seen, status, {"the document": batch.status, "the answer": seen.shown.get("status")})


def its_items_end_as_they_must(seen: Seen) -> Iterator[Violation]:
    """R17: those of a batch that was canceled may be canceled instead."""
    for index, job in seen.items.items():
        allowed = {seen.wanted.end(index)}
        if seen.wanted.canceled_after is not None:
            allowed.add(JobStatus.CANCELED)
        if job.status.terminal and job.status not in allowed:
            yield Violation("R17", seen.wanted.name, f"item {index} is {job.status}: {job.error}")


def its_reduction_is_of_its_outputs(seen: Seen) -> Iterator[Violation]:
    """R17: what is computed directly from the documents of the items that succeeded."""
    batch, reduce = seen.batch, seen.wanted.reduce
    if batch is None or reduce is None or batch.status is not BatchStatus.COMPLETED:
        return
    if batch.reduction is None or seen.reduction is None or batch.reduction.output is None:
        yield Violation("R17", seen.wanted.name, f"it is completed and not reduced: {batch.reduction}")
        return
    done = [job.output for _, job in sorted(seen.items.items()) if job.status is JobStatus.SUCCEEDED]
    said = {
        "the document": orjson.loads(batch.reduction.output),
        "the job": None if seen.reduction.output is None else orjson.loads(seen.reduction.output),
        "the answer": (seen.shown.get("reduce") or {}).get("output"),
    }
    yield from _differing(seen, reduced(reduce, [output for output in done if output is not None]), said)


def its_end_is_told_once(seen: Seen) -> Iterator[Violation]:
    """R18: as often as you like, but as one event, which says how it ended."""
    if seen.batch is None or not seen.batch.status.terminal:
        return
    told = {end.id for end in seen.ends}
    if told != {f"{seen.batch.spec.id}:batch.{seen.batch.status}"}:
        yield Violation(
            "R18", seen.wanted.name, f"it is {seen.batch.status}, and told were {sorted(told) or 'nothing'}"
        )


RULES: Final[Sequence[BatchRule]] = (
    a_key_is_one_batch,
    it_is_over_iff_its_items_are,
    it_has_all_that_was_uploaded,
    it_knows_nothing_that_is_not_so,
    it_counts_what_its_jobs_say,
    its_outputs_are_those_of_its_jobs,
    it_ended_as_its_jobs_say,
    its_items_end_as_they_must,
    its_reduction_is_of_its_outputs,
    its_end_is_told_once,
)
_ENDS: Final = tuple(str(status) for status in JobStatus if status.terminal)


def judge_batches(batches: Sequence[Seen]) -> list[Violation]:
    """All that is wrong, at any moment but for what is not over: that is R18 once everything had its time."""
    return [violation for seen in batches for rule in RULES for violation in rule(seen)]


def require_conclusive(batches: Sequence[Seen]) -> None:
    """Raises AssertionError where no batch was completed: then nothing was shown."""
    if not any(seen.batch is not None and seen.batch.status is BatchStatus.COMPLETED for seen in batches):
        raise AssertionError("inconclusive: no batch was completed")


def _over(seen: Seen, index: int) -> bool:
    return index in seen.items and seen.items[index].status.terminal


def _statuses(seen: Seen) -> list[str]:
    """Of each item of the batch, what its document says; of one without a document, that it is queued."""
    total = 0 if seen.batch is None else seen.batch.total
    return [str(seen.items[index].status) if index in seen.items else "queued" for index in range(total)]


def _differing(seen: Seen, truth: Any, said: dict[str, Any]) -> Iterator[Violation]:
    for who, what in said.items():
        if what != truth:
            yield Violation("R17", seen.wanted.name, f"{who} says {what}, and its jobs say {truth}")
