"""`histogram` and `quantiles`: built-in reducers that keep every number, as a double of 8 bytes.

That is 800 KB for the 100,000 items that a batch has at most, and a few megabytes for a moment while they are sorted.
"""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from sluice.context import JobContext
from sluice.outcomes import Reject
from sluice.outputs import Outputs
from sluice.reducers.fields import Selection, numbers

MAX_BINS = 1_000
MAX_QUANTILES = 100


class Bins(Selection):
    bins: (
        Annotated[int, Field(ge=1, le=MAX_BINS)] | Annotated[list[float], Field(min_length=2, max_length=MAX_BINS + 1)]
    ) = 10
    """How many bins of equal width from the smallest number to the largest; or their edges, each above the last."""


class Histogram(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    edges: list[float]
    """One more than there are bins; none where there are no numbers to choose them by."""
    counts: list[int]
    """Of each bin: from its lower edge up to, and without, its upper one, which only the last bin has."""
    below: int
    """Numbers below the first edge."""
    above: int
    """Numbers above the last edge."""


class Shares(Selection):
    q: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=1, max_length=MAX_QUANTILES)] = Field(
        default=[0.5, 0.9, 0.95, 0.99]
    )
    """Which quantiles: 0 is the smallest number, 0.5 the median, 1 the largest."""


class Quantile(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    q: float
    value: float | None
    """Interpolated linearly between the two closest numbers; null where there are none."""


async def histogram(outputs: Outputs[Any], options: Bins, job: JobContext) -> Histogram:
    """Counts how many numbers, one of each output, are in each of several bins."""
    if not isinstance(options.bins, int) and any(upper <= lower for lower, upper in pairwise(options.bins)):
        raise Reject("Each edge of `bins` must be above the one before it")
    found = await _doubles(outputs, options, job)
    edges = _edges(found, options.bins) if isinstance(options.bins, int) else options.bins
    return _counted(found, edges)


async def quantiles(outputs: Outputs[Any], options: Shares, job: JobContext) -> list[Quantile]:
    """Exact quantiles of a number of each output."""
    found = sorted(await _doubles(outputs, options, job))
    return [Quantile(q=q, value=_quantile(found, q)) for q in options.q]


async def _doubles(outputs: Outputs[Any], options: Selection, job: JobContext) -> Sequence[float]:
    found = array("d")
    async for number in numbers(outputs, options, job):
        try:
            found.append(number)
        except OverflowError:
            raise Reject(f"A number at {options.field or 'the root'} of an output is larger than any double") from None
    return found


def _edges(found: Sequence[float], bins: int) -> Sequence[float]:
    """Where all numbers are one, the bins are around it and a unit wide in all."""
    if not found:
        return []
    low, high = Fraction(min(found)), Fraction(max(found))
    if low == high:
        low, high = low - Fraction(1, 2), high + Fraction(1, 2)
    return [float(low + (high - low) * place / bins) for place in range(bins + 1)]


def _counted(found: Sequence[float], edges: Sequence[float]) -> Histogram:
    bins = max(0, len(edges) - 1)
    counts, below, above = [0] * bins, 0, 0
    for number in found:
        if number < edges[0]:
            below += 1
        elif number > edges[-1]:
            above += 1
        else:
            counts[min(bisect_right(edges, number) - 1, bins - 1)] += 1
    return Histogram(edges=list(edges), counts=counts, below=below, above=above)


def _quantile(ascending: Sequence[float], q: float) -> float | None:
    """Definition 7 of R. J. Hyndman and Y. Fan, "Sample Quantiles in Statistical Packages", The American Statistician
    50 (1996), in fractions: 0.9 is nine tenths here, not the double next to it."""
    if not ascending:
        return None
    place = Fraction(repr(q)) * (len(ascending) - 1)
    lower = int(place)
    upper = min(lower + 1, len(ascending) - 1)
    low, high = Fraction(ascending[lower]), Fraction(ascending[upper])
    return float(low + (high - low) * (place - lower))
