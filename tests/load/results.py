"""What a row has to say: figures with a value a run, each beside its target. Pure; shown and kept by `report`."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

Verdict = Literal["met", "missed", ""]


@dataclass(frozen=True, slots=True)
class Target:
    """A bound that the median must keep."""

    bound: float
    sense: Literal["at least", "at most"]

    def verdict(self, value: float) -> Verdict:
        kept = value >= self.bound if self.sense == "at least" else value <= self.bound
        return "met" if kept else "missed"

    def __str__(self) -> str:
        return f"{'≥' if self.sense == 'at least' else '≤'} {number(self.bound)}"


def at_least(bound: float) -> Target:
    return Target(bound, "at least")


def at_most(bound: float) -> Target:
    return Target(bound, "at most")


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something that a row measures once a run.

    key: names it in the JSON.
    """

    key: str
    name: str
    unit: str
    target: Target | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """A quantity with its value in each run, in the order of the runs."""

    quantity: Quantity
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def verdict(self) -> Verdict:
        target = self.quantity.target
        return target.verdict(self.median) if target else ""

    def to_json(self) -> dict[str, Any]:
        quantity = self.quantity
        return {
            "key": quantity.key,
            "name": quantity.name,
            "unit": quantity.unit,
            "median": self.median,
            "least": min(self.values),
            "most": max(self.values),
            "values": list(self.values),
            "target": str(quantity.target) if quantity.target else None,
            "verdict": self.verdict or None,
        }


class Judged(Protocol):
    """What a row takes over of a generator's tally."""

    @property
    def faults(self) -> list[str]: ...
    @property
    def refused(self) -> int: ...


@dataclass(slots=True)
class Row:
    """One row of the table while it is measured.

    wrong: what was answered wrongly, a description each; any makes the whole run fail.
    refused: requests that were turned away.
    notes: what a reader must know to judge the figures.
    """

    key: str
    title: str
    quantities: tuple[Quantity, ...]
    wrong: list[str] = field(default_factory=list)
    refused: int = 0
    notes: list[str] = field(default_factory=list)
    _values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, values: Mapping[str, float]) -> None:
        """The values of one run, by the quantities' keys. Raises KeyError for a quantity that was not declared."""
        declared = {quantity.key for quantity in self.quantities}
        for key, value in values.items():
            if key not in declared:
                raise KeyError(key)
            self._values.setdefault(key, []).append(value)

    def judge(self, tally: Judged, *, of: str) -> None:
        """Take over what was wrong, and what was turned away. of: whose answers they were, ours or a rival's."""
        self.wrong += [f"{of}: {fault}" for fault in tally.faults]
        self.refused += tally.refused

    def note(self, text: str) -> None:
        """Say it once, however many runs find it."""
        if text not in self.notes:
            self.notes.append(text)

    @property
    def figures(self) -> list[Figure]:
        """Of every quantity that was measured, as declared."""
        return [
            Figure(quantity, tuple(self._values[quantity.key]))
            for quantity in self.quantities
            if quantity.key in self._values
        ]

    def to_json(self) -> dict[str, Any]:
        figures = [figure.to_json() for figure in self.figures]
        found = {"wrong": self.wrong, "refused": self.refused, "notes": self.notes}
        return {"row": self.key, "title": self.title, "figures": figures, **found}


def number(value: float) -> str:
    """As people read it: 39,123; 812; 7.94; 0.613."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}".removesuffix(".0") if size >= 20 else f"{value:.3g}"
