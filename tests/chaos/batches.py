"""Batches that are asked of a chaos system, and how each of their items must end whatever happens on the way. Pure.

`draw` makes a mix from a seed: uploaded as JSON or as lines, small ones and one of several chunks, with a reduction or
without, with items that fail, and some that are canceled in the middle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import orjson

from shared.models.job import JobStatus

HANDLER: Final = "chaos.work"
REDUCTIONS: Final[Sequence[Mapping[str, Any] | None]] = (
    {"handler": "sum", "field": "/amount"},
    {"handler": "collect", "field": "/run"},
    {"handler": "count"},
    None,
)
PADDING: Final = "x" * 40_000
"""So that a batch of some seventy items is more than a chunk may have."""
LONGEST_CANCELED_SECONDS: Final = 10.0
"""Of an item whose batch is to be canceled: some of them run when that comes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """name: its label and its key. tasks: the inputs of its items, each with a `work` that no other has.
    canceled_after: seconds after its upload began; None for never.
    """

    name: str
    tasks: Sequence[Mapping[str, Any]]
    reduce: Mapping[str, Any] | None = None
    lines: bool = False
    canceled_after: float | None = None

    @property
    def options(self) -> dict[str, Any]:
        reduce = {} if self.reduce is None else {"reduce": dict(self.reduce)}
        return {"handler": HANDLER, "labels": {"batch": self.name}, "max_attempts": 3, **reduce}

    def end(self, index: int) -> JobStatus:
        """How the item must end, where nobody cancels it."""
        return JobStatus.FAILED if self.tasks[index].get("reject") else JobStatus.SUCCEEDED


def draw(rng: Random, count: int, *, tag: str, items: int) -> list[Wanted]:
    """So many batches, of about `items` items each. tag: begins each one's name."""
    drawn = [_draw_one(rng, f"{tag}b{number}", number, items) for number in range(count)]
    padded = [{**task, "padding": PADDING} for task in drawn[0].tasks]
    return [Wanted(drawn[0].name, padded, drawn[0].reduce, lines=True), *drawn[1:]]


def _draw_one(rng: Random, name: str, number: int, items: int) -> Wanted:
    canceled_after = round(rng.uniform(0.5, 3.0), 2) if number % 3 == 2 else None
    longest = 1.0 if canceled_after is None else LONGEST_CANCELED_SECONDS
    count = rng.randint(items // 2, items * 3 // 2)
    tasks = [_task(rng, f"{name}-{index}", longest) for index in range(count)]
    return Wanted(name, tasks, REDUCTIONS[number % 4], rng.random() < 0.5, canceled_after)


def _task(rng: Random, work: str, longest: float) -> dict[str, Any]:
    kind = rng.choices(({}, {"failures": 1}, {"reject": True}), weights=(86, 8, 6))[0]
    seconds = round(rng.random() ** 3 * longest, 3)  # most are short
    return {"work": work, "seconds": seconds, "amount": rng.randint(-1_000, 1_000), **kind}


def reduced(reduce: Mapping[str, Any], outputs: Sequence[bytes]) -> Any:
    """The answer that the reduction has to come to, from the outputs of the items that succeeded, in their order."""
    done = [orjson.loads(output) for output in outputs]
    match reduce["handler"]:
        case "sum":
            return sum(each["amount"] for each in done)
        case "collect":
            return [each["run"] for each in done]
        case "count":
            return len(done)
    raise ValueError(f"nobody knows what {reduce['handler']} comes to")
