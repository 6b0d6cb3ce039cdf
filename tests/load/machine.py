"""Describes the machine a run was made on, and how fast it was at that moment. Kept beside the figures by `run`."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any, Final

_LIBRARIES: Final = ("aiohttp", "uvloop", "redis", "hiredis", "grpcio", "orjson")
_ROUNDS: Final = 20_000


def describe() -> dict[str, Any]:
    """What makes figures comparable: processor, cores, memory, kernel, Python and the libraries on the hot paths."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "libraries": {name: metadata.version(name) for name in _LIBRARIES},
    }


def sentence(machine: dict[str, Any]) -> str:
    """`describe`'s answer in one line."""
    return (
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gib']} GiB, "
        f"Linux {machine['kernel']}, Python {machine['python']}"
    )


def yardstick() -> float:
    """Milliseconds for a fixed piece of interpreter work: tells a slow system from a slow moment of the machine."""
    began = time.perf_counter()
    digest = b""
    for number in range(_ROUNDS):
        digest = hashlib.sha256(digest + str(number).encode()).digest()
    return (time.perf_counter() - began) * 1_000


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
