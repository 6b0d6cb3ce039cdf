"""Deadlines of many calls at the cost of few timers: those of one moment share one.

Used by adapters with a deadline for each of their callers, of whom few ever reach it. Times are the loop's own.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Final, Generic, TypeVar

MOMENT_SECONDS: Final = 0.01
"""By so much a caller may hear late that its time is up."""

T = TypeVar("T")


class Deadlines(Generic[T]):
    """
    expire: called with each whose time is up.
    """

    def __init__(self, expire: Callable[[T], None]) -> None:
        self._expire = expire
        self._loop = asyncio.get_running_loop()
        self._moments: dict[int, set[T]] = {}

    def add(self, waiting: T, deadline: float) -> set[T]:
        """Those of its moment: whoever is settled before is to be taken out of it."""
        moment = math.ceil(deadline / MOMENT_SECONDS)
        due = self._moments.get(moment)
        if due is None:
            due = self._moments[moment] = set()
            self._loop.call_at(moment * MOMENT_SECONDS, self._come, moment)
        due.add(waiting)
        return due

    def _come(self, moment: int) -> None:
        for waiting in self._moments.pop(moment):
            self._expire(waiting)
