"""What handlers did, recorded outside of the system: a line in one file at each start and each end of a run.

A line is one append, so those of several processes do not mix, and what was recorded outlives whoever is killed.
Written by `handlers`, in the runners; read by whoever judges.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from time import time
from typing import Final

import orjson

VARIABLE: Final = "SLUICE_CHAOS_EFFECTS"
"""Names the file, to the runners."""


class What(StrEnum):
    START = "start"
    RETURN = "return"
    RAISE = "raise"


@dataclass(frozen=True, slots=True)
class Effect:
    """run: random, tells the runs of a job apart. runner, worker: process ids."""

    what: What
    at: float
    work: str
    job: str
    attempt: int
    fence: str
    run: str
    runner: int
    worker: int


class Recorder:
    """Records one run. path: the file of the whole system."""

    def __init__(self, path: Path, *, work: str, job: str, attempt: int, fence: str, run: str) -> None:
        self._path = path
        self._said = {"work": work, "job": job, "attempt": attempt, "fence": fence, "run": run}

    def record(self, what: What) -> None:
        line = {"what": what, "at": time(), **self._said, "runner": os.getpid(), "worker": os.getppid()}
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, orjson.dumps(line) + b"\n")
        finally:
            os.close(file)


def read_effects(path: Path) -> list[Effect]:
    """All that was recorded so far, by time. A line that a killed writer left half is impossible: writes are whole."""
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines()
    return sorted((_effect(line) for line in lines), key=lambda effect: effect.at)


def starts(effects: Iterable[Effect]) -> dict[str, list[Effect]]:
    """The starts of each job, by time."""
    found: dict[str, list[Effect]] = {}
    for effect in effects:
        if effect.what is What.START:
            found.setdefault(effect.job, []).append(effect)
    return found


def _effect(line: bytes) -> Effect:
    fields = orjson.loads(line)
    return Effect(**{**fields, "what": What(fields["what"])})
