"""The built-in reducers, which every worker has: `{"reduce": {"handler": "sum", "field": "/count"}}`.

| name | gives |
|---|---|
| `sum` | the exact sum: of whole numbers a whole number, else rounded once, at the end |
| `mean` | the exact mean, rounded once; null of nothing |
| `min`, `max` | the smallest, the largest number; null of nothing |
| `count` | how many outputs there are, or how many have something at `field` |
| `histogram` | how many numbers are in each bin |
| `quantiles` | exact quantiles, interpolated linearly |
| `collect` | the values, as a list |

Each takes `field`, a JSON Pointer (RFC 6901) to the value within an output; without one, the output is the value.
Their memory is bounded: all but three keep a few numbers, `histogram` and `quantiles` keep 8 bytes a number (800 KB for
the largest batch), and `collect` no more than a job can return.

They are reducers like those that authors write, on the same footing, but on no queue: they run on the batch's. The
worker's runners load them; `sluice.testing.reduce` finds them by name.
"""

from collections.abc import Callable, Mapping
from functools import cache

from sluice.definition import HandlerDefinition, Limits, define_reducer, naming
from sluice.reducers.collecting import collect
from sluice.reducers.distribution import histogram, quantiles
from sluice.reducers.figures import count, largest, mean, smallest, total

NO_QUEUE = ""

_LIMITS = Limits(timeout=300, max_attempts=5, run_in="loop", version="1")

_FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "sum": total,
    "mean": mean,
    "min": smallest,
    "max": largest,
    "count": count,
    "histogram": histogram,
    "quantiles": quantiles,
    "collect": collect,
}


@cache
def built_in() -> Mapping[str, HandlerDefinition]:
    """All of them, by name."""
    return {name: _defined(name, function) for name, function in _FUNCTIONS.items()}


def _defined(name: str, function: Callable[..., object]) -> HandlerDefinition:
    with naming(name, function):
        return define_reducer(name, NO_QUEUE, function, _LIMITS)
