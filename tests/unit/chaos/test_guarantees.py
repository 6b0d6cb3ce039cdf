"""`docs/guarantees.md` names tests that exist, and that name the promise that they are listed for."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parents[2]
DOCUMENT: Final = TESTS.parent / "docs" / "guarantees.md"
TRIED: Final = [f"R{number}" for number in (*range(1, 20), 29, 30)]
"""By taking the mechanism away."""
REQUIRED: Final = [*TRIED, *(f"R{number}" for number in range(20, 28))]
ROW: Final = re.compile(r"^\| \*\*(R\d+)\*\* ", re.MULTILINE)
NAMED: Final = re.compile(r"`([\w/]+\.py)::(\w+)`")


def rows() -> dict[str, list[tuple[str, str]]]:
    """By promise, the tests of its row."""
    lines = [line for line in DOCUMENT.read_text().splitlines() if ROW.match(line)]
    return {line.split("**")[1]: NAMED.findall(line) for line in lines}


@cache
def told_of(file: str) -> dict[str, str]:
    """By name, what each test of the file says it is about."""
    tree = ast.parse((TESTS / file).read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {each.name: ast.get_docstring(each) or "" for each in functions if each.name.startswith("test_")}


def test_every_promise_has_its_row() -> None:
    assert list(rows()) == REQUIRED


@pytest.mark.parametrize("promise", REQUIRED)
def test_the_tests_of_a_promise_exist_and_name_it(promise: str) -> None:
    named = rows()[promise]
    assert named
    for file, test in named:
        about = told_of(file)[test]
        numbers = {f"R{number}" for number in re.findall(r"\bR(\d+)", about)}
        numbers |= {f"R{int(number)}" for number in re.findall(r"^test_r(\d+)_", test)}
        assert promise in numbers, f"{file}::{test} says it is about {sorted(numbers) or 'nothing'}"


def test_each_row_says_what_was_taken_away_and_what_was_seen() -> None:
    for line in DOCUMENT.read_text().splitlines():
        row = ROW.match(line)
        if row is not None and row[1] in TRIED:
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            assert len(cells) == 4, line
            assert all(cells), line
