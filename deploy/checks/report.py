"""What a check found. Made by the checks of this package, printed by `__main__`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Found:
    """looked_at: what was looked at, for the line that says so. faults: empty where all is well."""

    looked_at: str
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Skipped:
    """Not possible on this machine."""

    reason: str


Outcome = Found | Skipped
Check = Callable[[], Outcome]


def found(looked_at: str, *faults: str) -> Found:
    return Found(looked_at, tuple(faults))
