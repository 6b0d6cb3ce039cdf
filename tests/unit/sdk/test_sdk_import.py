"""`import sluice` happens at every start of every worker and its children: it brings pydantic and nothing heavier."""

import subprocess
import sys

import pytest

import sluice

HEAVY = ("asyncio", "concurrent.futures", "httpx", "multiprocessing", "polars", "sluice.testing", "uvloop")

LOADED = f"import sys, sluice; print(*[name for name in {HEAVY!r} if name in sys.modules])"


def test_nothing_heavy_comes_along() -> None:
    shown = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=60, check=True)
    assert shown.stdout.split() == []


@pytest.mark.parametrize("name", sluice.__all__)
def test_everything_promised_is_there(name: str) -> None:
    assert getattr(sluice, name).__name__ == name
