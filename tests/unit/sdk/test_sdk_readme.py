"""The code on the package's page is what newcomers paste first: it runs as it stands."""

import re
from pathlib import Path
from typing import Any

import pytest

import sluice
from sluice import Handlers, Reject
from sluice.testing import run

README = Path(sluice.__file__).parents[2] / "README.md"


@pytest.fixture(scope="module")
def pasted() -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "pasted"}
    for block in re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, str(README), "exec"), namespace)
    return namespace


async def test_the_test_on_the_page_passes(pasted: dict[str, Any]) -> None:
    await pasted["test_there_are_25_primes_below_100"]()


async def test_the_reducers_test_on_the_page_passes(pasted: dict[str, Any]) -> None:
    await pasted["test_counts_are_added_up"]()


async def test_the_handler_on_the_page_rejects_as_it_says(pasted: dict[str, Any]) -> None:
    handlers: Handlers = pasted["handlers"]
    with pytest.raises(Reject, match="ends before it starts"):
        await run("primes.count", {"start": 9, "stop": 3}, handlers=handlers)
    assert handlers["primes.count"].description == "Counts the primes from `start` up to, and without, `stop`."
