"""Statistics of work done: counts and times by handler and moment, as values that add up.

A `Tally` is what is known of one handler in one span of time. Adding two is associative and commutative, so it does not
matter who counted what, or in which order it is summed up. Times are **sketches**: counts by bucket, whose bounds grow
by a constant factor, after DDSketch (Masson, Rim, Lee: "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with
Relative-Error Guarantees", VLDB 2019). Any quantile of a sketch is within RELATIVE_ERROR of a time that was measured,
or within a millisecond of it; adding sketches adds no error.

`Shard` is what one writer has counted in one minute, or hour, of one tenant; written by aggregators alone, read by them
and by gateways, who add up what they find.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import orjson

RELATIVE_ERROR: Final = 0.01
_GAMMA: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GAMMA: Final = math.log(_GAMMA)
MOST_MILLISECONDS: Final = 45 * 86_400_000
"""Longer than any job lives: what is beyond counts as this, so that a sketch has about 1,100 buckets at most."""

EVERYONE: Final = "*"
"""In place of a tenant: all of them together."""
OTHERS: Final = "*"
"""In place of a handler: those beyond MAX_HANDLERS."""
MAX_HANDLERS: Final = 200
"""In one shard, which has to fit a document."""
FAILED: Final = "failed:"
"""Begins the name of a count of failures; their code follows."""

Sketch = Mapping[int, int]
"""Counts by bucket. Bucket 0 has what took a millisecond or less."""


class Step(StrEnum):
    """A span of time that is counted together."""

    MINUTE = "minute"
    HOUR = "hour"

    @property
    def milliseconds(self) -> int:
        return 60_000 if self is Step.MINUTE else 3_600_000

    def start(self, at: int) -> int:
        """When the span began that has the moment `at` (milliseconds since the epoch)."""
        return at - at % self.milliseconds


def bucket(milliseconds: float) -> int:
    """Where a time is counted."""
    if milliseconds <= 1:
        return 0
    return math.ceil(math.log(min(milliseconds, MOST_MILLISECONDS)) / _LOG_GAMMA)


def middle(bucket: int) -> float:
    """Milliseconds for which a bucket stands: as near to its least as to its greatest, by factor."""
    return 1.0 if bucket == 0 else 2 * math.exp(bucket * _LOG_GAMMA) / (_GAMMA + 1)


def quantile(sketch: Sketch, share: float) -> float | None:
    """Milliseconds that `share` (0 to 1) of the times are up to; None of an empty sketch."""
    rank = share * (sum(sketch.values()) - 1)
    behind = 0
    for each in sorted(sketch):
        behind += sketch[each]
        if behind > rank:
            return middle(each)
    return None


@dataclass(frozen=True, slots=True)
class Tally:
    """counts: by name: submitted, cache_hits, succeeded, failed:<code>, canceled, expired, retries."""

    counts: Mapping[str, int] = field(default_factory=dict)
    queue_time: Sketch = field(default_factory=dict)
    """From acceptance, or the time it was to run at, to the start; of jobs that needed one attempt."""
    run_time: Sketch = field(default_factory=dict)
    """From the last attempt's start to its end; of jobs that succeeded or failed."""

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            _sum(self.counts, other.counts),
            _sum(self.queue_time, other.queue_time),
            _sum(self.run_time, other.run_time),
        )


Tallies = Mapping[str, Tally]
"""By handler."""


def together(parts: Iterable[Tallies]) -> dict[str, Tally]:
    """The sum of what several have counted."""
    found: dict[str, Tally] = {}
    for part in parts:
        for handler, tally in part.items():
            found[handler] = found[handler] + tally if handler in found else tally
    return found


@dataclass(frozen=True, slots=True)
class Shard:
    """What one writer has counted of one tenant's work in one span of time."""

    id: str
    """Of the document: no two writers share one."""
    tenant: str
    """EVERYONE: of all tenants' together, counted beside."""
    step: Step
    at: int
    """When the span began, milliseconds since the epoch."""
    tallies: Tallies
    expire_at: int
    """When the document may vanish."""

    def encode(self) -> bytes:
        """The tallies, for the document."""
        shown = {name: [each.counts, each.queue_time, each.run_time] for name, each in self.tallies.items()}
        return orjson.dumps(shown, option=orjson.OPT_NON_STR_KEYS)


def decode_tallies(raw: bytes) -> Tallies:
    """What `Shard.encode` made of them."""
    return {
        name: Tally(counts, _sketch(queue_time), _sketch(run_time))
        for name, (counts, queue_time, run_time) in orjson.loads(raw).items()
    }


def _sketch(found: Mapping[str, Any]) -> Sketch:
    return {int(bucket): count for bucket, count in found.items()}


def _sum(left: Mapping[Any, int], right: Mapping[Any, int]) -> dict[Any, int]:
    found = dict(left)
    for key, count in right.items():
        found[key] = found.get(key, 0) + count
    return found
