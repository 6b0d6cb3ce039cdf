"""A handler as announced: what a gateway must know of a function that it never imports.

Written by each worker at its start, read by gateways. Harmless twice: the same version announces the same entry.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class HandlerEntry:
    name: str
    queue: str
    """Empty for what every worker has (the built-in reducers): it runs on the queue of the batch that it is for."""
    version: str
    input_schema: Mapping[str, Any]
    """JSON Schema 2020-12. Of a reducer: of its options, all that `reduce` of a batch says beside `handler`."""
    output_schema: Mapping[str, Any]
    timeout_seconds: float
    """For one attempt."""
    max_attempts: int
    cache_for_seconds: int
    """0: results are never shared."""
    description: str = ""
    reduces: bool = False
    """A reducer: it takes the outputs of a batch. No job can be asked of it alone."""


def queues_of(entries: Iterable[HandlerEntry]) -> set[str]:
    """The queues that handlers are on."""
    return {entry.queue for entry in entries if entry.queue}
