"""A process and all that it has started, as the kernel lists them: a machine that stands still takes all of it along.

Used by `faults`. Linux only, as signals to whole trees are.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path


def tree(pid: int) -> list[int]:
    """The process and its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    found = [pid]
    for each in found:  # grows while it is read
        found += children.get(each, [])
    return found


def send(pids: list[int], number: signal.Signals) -> None:
    """The signal to each that is still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def state(pid: int) -> str:
    """`R`, `S`, `T` (stopped), … as in proc(5); empty for a process that is gone."""
    fields = _stat(Path("/proc") / str(pid))
    return fields[0] if fields else ""


def _parents() -> list[tuple[int, int]]:
    """Each process and its parent."""
    folders = [folder for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    return [(int(folder.name), int(fields[1])) for folder in folders if (fields := _stat(folder))]


def _stat(folder: Path) -> list[str]:
    """The fields behind the command's name, which may itself hold anything."""
    try:
        text = (folder / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()
