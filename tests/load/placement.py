"""Which core runs what: what is measured has one core for itself, and the generator never takes it away.

Rows that promise a figure "a core" pin; rows about a whole machine leave it to the kernel.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tests.load.proc import threads

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Cores:
    """measured: the one core of the server under test. others: everything else's."""

    measured: frozenset[int]
    others: frozenset[int]

    @classmethod
    def of(cls, usable: Iterable[int]) -> Self:
        """Split the cores that may be used. With a single one everything shares it, and no figure is worth much."""
        first, *rest = sorted(usable)
        return cls(frozenset({first}), frozenset(rest or {first}))

    @classmethod
    def here(cls) -> Self:
        """Of this machine, as far as this process may use it."""
        return cls.of(os.sched_getaffinity(0))

    @property
    def apart(self) -> bool:
        """Whether the generator has a core that the server does not use."""
        return self.measured != self.others


def pin(roots: Iterable[int], cores: frozenset[int]) -> None:
    """Keep `roots`, all below them, and whatever they start from now on, to `cores`."""
    for thread in threads(roots):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(thread, cores)
