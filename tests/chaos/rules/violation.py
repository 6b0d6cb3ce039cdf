"""What a rule is, and what it finds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.chaos.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Violation:
    rule: str
    about: str
    """A job, or a piece of work."""
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.about}: {self.what}"


Rule = Callable[[Evidence], Iterator[Violation]]
