"""Keeps the log files of a run bounded, and picks out of them what a person at the terminal should see.

Processes append to their files themselves (see `process`), so both work from outside: `System` owns `keep_bounded`,
the runner owns `show_warnings`. A file beyond its bound is copied to `<name>.log.1` and emptied; a line written in that
instant may be lost.
"""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

LARGEST_BYTES: Final = 32 * 1024 * 1024
_LOOK_EVERY: Final = 0.5  # seconds
_READ_BYTES: Final = 1024 * 1024
_LINES_A_LOOK: Final = 10
_LONGEST_LINE: Final = 400
_WORTH_SHOWING: Final = frozenset({"WARNING", "ERROR", "CRITICAL"})

Logs = Callable[[], Iterable[Path]]
"""The files at this moment; more appear while a system starts."""


async def keep_bounded(logs: Logs, largest: int = LARGEST_BYTES) -> None:
    """Empty every log that has grown beyond `largest` bytes. Runs until it is cancelled."""
    while True:
        await asyncio.to_thread(_bound_all, list(logs()), largest)
        await asyncio.sleep(_LOOK_EVERY)


async def show_warnings(logs: Logs, say: Callable[[str], None]) -> None:
    """Say what services log as a warning or worse, a few lines a look. Runs until it is cancelled."""
    followers: dict[Path, Follower] = {}
    while True:
        for log in logs():
            for line in followers.setdefault(log, Follower(log)).look():
                say(line)
        await asyncio.sleep(_LOOK_EVERY)


def _bound_all(logs: list[Path], largest: int) -> None:
    for log in logs:
        bound(log, largest)


def bound(log: Path, largest: int) -> None:
    """Copy and empty `log` if it has grown beyond `largest` bytes. Its writer goes on undisturbed."""
    try:
        if log.stat().st_size <= largest:
            return
        shutil.copyfile(log, log.with_name(log.name + ".1"))
        with log.open("r+b") as file:  # its writers append, so they go on at the new end
            file.truncate()
    except FileNotFoundError:
        return


@dataclass
class Follower:
    """Reads on in one log from where it stopped."""

    log: Path
    _offset: int = 0
    _partial: bytes = b""

    def look(self) -> list[str]:
        """The warnings written since the last look, ready to show; the rest of a flood is counted."""
        warnings = [line for raw in self._new_lines() if (line := warning(raw))]
        shown = [f"{self.log.stem}: {line}" for line in warnings[:_LINES_A_LOOK]]
        if len(warnings) > _LINES_A_LOOK:
            shown.append(f"{self.log.stem}: and {len(warnings) - _LINES_A_LOOK} more in {self.log}")
        return shown

    def _new_lines(self) -> list[bytes]:
        try:
            with self.log.open("rb") as file:
                if file.seek(0, 2) < self._offset:  # emptied since
                    self._offset, self._partial = 0, b""
                file.seek(self._offset)
                new = file.read(_READ_BYTES)
        except FileNotFoundError:
            return []
        self._offset += len(new)
        *lines, self._partial = (self._partial + new).split(b"\n")
        return lines


def warning(line: bytes) -> str | None:
    """One line of a service's log as a person reads it, if it is a warning or worse."""
    if b'"severity":"' not in line:  # cheap, since most lines stop at the next test
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or record.get("severity") not in _WORTH_SHOWING:
        return None
    text = f"{record['severity']} {record.get('message', '')}{_details(record)}"
    return text if len(text) <= _LONGEST_LINE else text[:_LONGEST_LINE] + "…"


def _details(record: dict[str, Any]) -> str:
    known = {"time", "severity", "message", "service", "instance", "logger"}
    rest = {name: value for name, value in record.items() if name not in known}
    return f"  {json.dumps(rest, ensure_ascii=False)}" if rest else ""
