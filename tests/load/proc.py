"""CPU time and memory of processes, children included, from Linux's /proc. Parsing is apart from reading.

Used by the rows to say what a job, a request or a waiter cost, and who used the cores.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_PROC: Final = Path("/proc")
_TICK_SECONDS: Final = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_SAMPLE_SECONDS: Final = 0.1
# Places in /proc/<pid>/stat after the parenthesis that closes the name; proc_pid_stat(5) counts from the pid.
_PARENT: Final = 1
_TIMES: Final = slice(11, 15)  # utime, stime, and both of the children that were waited for


@dataclass(frozen=True, slots=True)
class Stat:
    """One process: its parent, and the CPU seconds of itself and of its children that have ended."""

    parent: int
    cpu_seconds: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the text of /proc/<pid>/stat. A process's name may hold blanks and parentheses."""
        fields = text.rpartition(")")[2].split()
        return cls(int(fields[_PARENT]), sum(map(int, fields[_TIMES])) * _TICK_SECONDS)


def descendants(roots: Iterable[int], stats: Mapping[int, Stat]) -> set[int]:
    """The roots that live, and everything below them."""
    children: dict[int, list[int]] = {}
    for pid, stat in stats.items():
        children.setdefault(stat.parent, []).append(pid)
    found, ahead = set[int](), [pid for pid in roots if pid in stats]
    while ahead:
        pid = ahead.pop()
        if pid not in found:
            found.add(pid)
            ahead += children.get(pid, [])
    return found


def read_stats() -> dict[int, Stat]:
    """Every process of this machine, by its number."""
    stats = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                stats[int(entry.name)] = Stat.parse((entry / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
    return stats


def cpu_seconds(roots: Iterable[int]) -> float:
    """CPU seconds that `roots` and all below them have used so far, user and system."""
    stats = read_stats()
    return sum(stats[pid].cpu_seconds for pid in descendants(roots, stats))


def resident_bytes(roots: Iterable[int]) -> int:
    """Memory that `roots` and all below them hold in RAM."""
    return sum(_resident(pid) for pid in descendants(roots, read_stats()))


def threads(roots: Iterable[int]) -> list[int]:
    """The threads of `roots` and of all below them."""
    found = []
    for pid in descendants(roots, read_stats()):
        try:
            found += [int(entry.name) for entry in (_PROC / str(pid) / "task").iterdir()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _resident(pid: int) -> int:
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE_BYTES
    except (FileNotFoundError, ProcessLookupError):
        return 0


@asynccontextmanager
async def most_resident(pid: int) -> AsyncIterator[list[int]]:
    """Samples of a process's memory in RAM, its descendants' included, in bytes, while the block lasts."""
    samples = [resident_bytes([pid])]

    async def sample() -> None:
        while True:
            await asyncio.sleep(_SAMPLE_SECONDS)
            samples.append(resident_bytes([pid]))

    sampling = asyncio.create_task(sample())
    try:
        yield samples
    finally:
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)


def busy_seconds() -> float:
    """CPU seconds that this machine has spent on anything since it was started."""
    return parse_busy((_PROC / "stat").read_text())


def parse_busy(text: str) -> float:
    """From the text of /proc/stat: all of the first line but idle and I/O wait, guests being in user time already."""
    user, nice, system, _idle, _waiting, irq, softirq, steal, *_ = map(int, text.split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq + steal) * _TICK_SECONDS


class Meter:
    """CPU seconds that named groups of processes use from now on."""

    def __init__(self, groups: Mapping[str, Iterable[int]]) -> None:
        self._groups = {name: tuple(pids) for name, pids in groups.items()}
        self._began = self._read()

    def read(self) -> dict[str, float]:
        """CPU seconds by group since this was made."""
        return {name: seconds - self._began[name] for name, seconds in self._read().items()}

    def _read(self) -> dict[str, float]:
        stats = read_stats()
        return {
            name: sum(stats[pid].cpu_seconds for pid in descendants(pids, stats)) for name, pids in self._groups.items()
        }
