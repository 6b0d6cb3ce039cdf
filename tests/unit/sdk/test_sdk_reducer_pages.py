"""The reducer on the page about them runs as it stands, and so does its test."""

import re
from pathlib import Path
from typing import Any

import pytest

from sluice import Handlers
from sluice.testing import reduce, run

PAGE = Path(__file__).parents[3] / "docs" / "handlers.md"


@pytest.fixture(scope="module")
def pasted() -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "pasted"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), namespace)
    return namespace


async def test_the_test_on_the_page_passes(pasted: dict[str, Any]) -> None:
    await pasted["test_the_words_of_all_texts_are_added_up"]()


async def test_the_outputs_of_its_handler_are_what_its_reducer_takes(pasted: dict[str, Any]) -> None:
    handlers: Handlers = pasted["handlers"]
    texts = ["One.", "And then two.", "Three of them, at last."]
    outputs = [(await run("words.count", text, handlers=handlers)).output for text in texts]
    found = await reduce("words.total", outputs, handlers=handlers)
    assert found.output == {"words": 9, "longest": 2, "missing": 0}
