"""The command line: which rows, how often, how long. Everything is bounded here."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FEWEST_RUNS: Final = 3
FULL_WAITERS: Final = 50_000
_MOST_A_GATEWAY: Final = 14_000  # waiters; a process has 20,000 descriptors here, a gateway holds 16,000


@dataclass(frozen=True, slots=True)
class Arguments:
    """rows: names, in the order of the table. seconds: for one measurement, its warm-up aside.
    waiters, gateways: of the row about waiting. peer_python: an interpreter that has the peers' packages.
    """

    rows: tuple[str, ...]
    runs: int
    seconds: float
    waiters: int
    gateways: int
    peer_python: str


def parse(arguments: Sequence[str], known: Sequence[str]) -> Arguments:
    """Ends the process with a message when something does not fit."""
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("row", nargs="*", help=f"any of {', '.join(known)}; all of them by default")
    parser.add_argument("--rows", default="", help="the same, separated by commas")
    parser.add_argument("--runs", type=_whole(1, 20), default=FEWEST_RUNS, help="of each row; 3 by default")
    parser.add_argument("--seconds", type=_seconds, default=5.0, help="of one measurement; 5 by default")
    parser.add_argument("--waiters", type=_whole(10, FULL_WAITERS), help="held at a time; 5,000 by default")
    parser.add_argument("--gateways", type=_whole(1, 16), help="that hold them; by default as many as they need")
    parser.add_argument("--full", action="store_true", help=f"hold {FULL_WAITERS:,} waiters over 4 gateways")
    parser.add_argument("--peer-python", default="", help="a Python that has the peers' packages; this one by default")
    given = parser.parse_args(arguments)
    waiters = given.waiters or (FULL_WAITERS if given.full else 5_000)
    gateways = given.gateways or max(2, -(-waiters // _MOST_A_GATEWAY))
    if waiters > gateways * _MOST_A_GATEWAY:
        parser.error(f"{gateways} gateways hold at most {gateways * _MOST_A_GATEWAY:,} waiters")
    rows = _rows([*given.row, *filter(None, given.rows.split(","))], known, parser.error)
    return Arguments(rows, given.runs, given.seconds, waiters, gateways, given.peer_python)


def _rows(named: Sequence[str], known: Sequence[str], refuse: Callable[[str], object]) -> tuple[str, ...]:
    wanted = {name.strip().lower() for name in named} or set(known)
    unknown = sorted(wanted - set(known))
    if unknown:
        refuse(f"there is no row {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(name for name in known if name in wanted)


def _whole(least: int, most: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be {least} to {most:,}")
        return value

    return whole


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.5 <= value <= 60:
        raise argparse.ArgumentTypeError("must be 0.5 to 60")
    return value
