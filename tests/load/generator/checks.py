"""Decides whether an answer is right; used by the loops for every answer, so each check costs well under 1 µs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.load.generator.plans import Check, Exchange

_ID_STARTS: Final = b'{"id":"job_'
_ID: Final = slice(7, 51)  # the id's place in a job's JSON: `job_` and 40 characters
_SHOWN: Final = 200
REFUSALS: Final = frozenset({429, 503})
"""Statuses of an answer that turns a request away."""
AGAIN_SECONDS: Final = 0.5
"""After so long a client that was turned away tries once more."""


class Checker(Protocol):
    def wrong(self, index: int, status: int, body: bytes) -> str:
        """What is wrong with the answer to exchange `index`; empty when nothing is."""
        ...


class Exact:
    """Status 200 and the very bytes that the exchange names."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self._bodies = [exchange.body.encode() for exchange in exchanges]

    def wrong(self, index: int, status: int, body: bytes) -> str:
        if status == 200 and body == self._bodies[index]:
            return ""
        return f"status {status}, {shown(body)} instead of {shown(self._bodies[index])}"


class Accepted:
    """Status 202 and an id that no other answer had. `ids` says which exchange each one answered."""

    def __init__(self) -> None:
        self.ids: dict[bytes, int] = {}

    def wrong(self, index: int, status: int, body: bytes) -> str:
        id = body[_ID]
        if status != 202 or not body.startswith(_ID_STARTS):
            return f"status {status}, {shown(body)} instead of an accepted job"
        if id in self.ids:
            return f"{id.decode()} was given twice"
        self.ids[id] = index
        return ""


def checker(check: Check, exchanges: Sequence[Exchange]) -> Exact | Accepted:
    return Exact(exchanges) if check == "exact" else Accepted()


def shown(body: bytes) -> str:
    """The beginning of a body, for a message."""
    text = body[:_SHOWN].decode(errors="replace")
    return f"{text}…" if len(body) > _SHOWN else text or "nothing"
