"""What an examination finds. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    OK = "ok"
    SKIPPED = "skipped"
    """Could not be looked at from here."""
    WARNING = "warning"
    """Works, and is not as it should be."""
    FAULT = "fault"
    """Does not work, or will not for long."""


@dataclass(frozen=True, slots=True)
class Finding:
    """about: what was looked at. detail: what was seen. remedy: what to do; empty where nothing is to be done."""

    state: State
    about: str
    detail: str
    remedy: str = ""

    @property
    def shown(self) -> dict[str, Any]:
        return {"state": str(self.state), "about": self.about, "detail": self.detail, "remedy": self.remedy}


def fine(about: str, detail: str) -> Finding:
    return Finding(State.OK, about, detail)


def skipped(about: str, detail: str) -> Finding:
    return Finding(State.SKIPPED, about, detail)


def warning(about: str, detail: str, remedy: str) -> Finding:
    return Finding(State.WARNING, about, detail, remedy)


def fault(about: str, detail: str, remedy: str) -> Finding:
    return Finding(State.FAULT, about, detail, remedy)
