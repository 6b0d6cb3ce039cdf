"""Latencies in bounded memory: a log-linear histogram, as HdrHistogram's (G. Tene), with 128 steps an octave.

Generators fill one and hand it to the harness as JSON, where those of several processes are merged. A percentile is
within 0.8 % of the exact one, and `most` is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

_STEP_BITS: Final = 7
_STEPS: Final = 1 << _STEP_BITS
LARGEST: Final = (1 << 28) - 1
"""Microseconds, 268 s: longer than anything waits here. Whatever is longer counts as this."""
_SLOTS: Final = _STEPS * (LARGEST.bit_length() - _STEP_BITS + 1)


def slot(value: int) -> int:
    """Where `value` microseconds are counted; exact below 256."""
    shift = max(value.bit_length() - _STEP_BITS - 1, 0)
    return shift * _STEPS + (value >> shift)


def middle(slot: int) -> float:
    """The middle of the values that are counted in `slot`."""
    shift = max(slot // _STEPS - 1, 0)
    low = (slot - shift * _STEPS) << shift
    return low + ((1 << shift) - 1) / 2


@dataclass(slots=True)
class Histogram:
    """Values in microseconds."""

    counts: list[int] = field(default_factory=lambda: [0] * _SLOTS)
    count: int = 0
    total: int = 0
    most: int = 0

    def record(self, value: int) -> None:
        """Count one value; negative ones (two clocks that disagree by a hair) count as 0."""
        value = min(max(value, 0), LARGEST)
        self.counts[slot(value)] += 1
        self.count += 1
        self.total += value
        self.most = max(self.most, value)

    def merge(self, other: Histogram) -> None:
        """Add all values of `other`."""
        for index, count in other._filled():
            self.counts[index] += count
        self.count += other.count
        self.total += other.total
        self.most = max(self.most, other.most)

    def percentile(self, percent: float) -> float:
        """The value that `percent` of all are at or below. Raises ValueError when nothing was recorded."""
        if not self.count:
            raise ValueError("an empty histogram has no percentiles")
        rank, seen = max(percent / 100 * self.count, 1), 0
        for index, count in self._filled():
            seen += count
            if seen >= rank:
                return min(middle(index), self.most)
        return self.most

    def within(self, value: int) -> int:
        """How many are at or below `value`, to the width of a slot."""
        last = slot(value)
        return sum(count for index, count in self._filled() if index <= last)

    @property
    def mean(self) -> float:
        """Exact. Raises ValueError when nothing was recorded."""
        if not self.count:
            raise ValueError("an empty histogram has no mean")
        return self.total / self.count

    def to_json(self) -> dict[str, Any]:
        """Only the slots that hold something."""
        filled = {str(index): count for index, count in self._filled()}
        return {"counts": filled, "count": self.count, "total": self.total, "most": self.most}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """What `to_json` made."""
        made = cls(count=data["count"], total=data["total"], most=data["most"])
        for index, count in data["counts"].items():
            made.counts[int(index)] = count
        return made

    def _filled(self) -> Iterator[tuple[int, int]]:
        return ((index, count) for index, count in enumerate(self.counts) if count)
