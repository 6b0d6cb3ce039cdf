"""What was done to a system, when and to whom, so that the checker can tell what follows from it and what does not.

Written by whoever does it (`faults`, `supervision`); read by `checker`. Times are seconds since the epoch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import time


@dataclass(frozen=True, slots=True)
class Death:
    """A process of ours ended, whoever ended it. name: as in `System.processes`, or `runner` for a worker's child."""

    name: str
    pid: int
    at: float
    how: str


@dataclass(slots=True)
class Trouble:
    """Something was wrong for a while. until: None as long as it is.

    what: `freeze` and `drain` (of a process, `pid`), `store`, `broker`, `cache` (the network to it), `stall` (of this
    machine).
    """

    what: str
    since: float
    until: float | None = None
    pid: int = 0
    detail: str = ""

    def overlaps(self, start: float, end: float) -> bool:
        return self.since <= end and (self.until is None or self.until >= start)


@dataclass(slots=True)
class Damage:
    deaths: list[Death] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    overdue: list[str] = field(default_factory=list)
    """Processes that were told to end and had to be killed."""

    def died(self, name: str, pid: int, how: str) -> None:
        self.deaths.append(Death(name, pid, time(), how))

    @contextmanager
    def lasting(self, what: str, *, pid: int = 0, detail: str = "") -> Iterator[None]:
        """Note that it lasts as long as the block."""
        trouble = Trouble(what, time(), pid=pid, detail=detail)
        self.troubles.append(trouble)
        try:
            yield
        finally:
            trouble.until = time()

    def ended(self, pid: int, start: float, end: float) -> bool:
        """Whether the process `pid` died in between."""
        return any(death.pid == pid and start <= death.at <= end for death in self.deaths)

    def hindered_process(self, what: str, pid: int, start: float, end: float) -> bool:
        """Whether that was so of the process `pid` for a part of that time."""
        return any(
            trouble.what == what and trouble.pid == pid and trouble.overlaps(start, end) for trouble in self.troubles
        )

    def hindered(self, what: str, start: float, end: float) -> bool:
        """Whether that was so for a part of that time."""
        return any(trouble.what == what and trouble.overlaps(start, end) for trouble in self.troubles)
