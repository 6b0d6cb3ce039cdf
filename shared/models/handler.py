"""A handler as announced: what a gateway must know of a function that it never imports.

Written by each worker at its start, read by gateways. Harmless twice: the same version announces the same entry.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class HandlerEntry:
    name: str
    queue: str
    version: str
    input_schema: Mapping[str, Any]
    """JSON Schema 2020-12."""
    output_schema: Mapping[str, Any]
    timeout_seconds: float
    """For one attempt."""
    max_attempts: int
    cache_for_seconds: int
    """0: results are never shared."""
    description: str = ""
    reduces: bool = False
    """It makes one answer of a batch's outputs, and its input are the options of that."""
