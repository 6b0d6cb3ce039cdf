"""Finding the handlers that `SLUICE_HANDLERS` names, and saying what is wrong with it."""

from pathlib import Path

import pytest

from services.worker.execution.errors import HandlersNotLoaded
from services.worker.load import load

MODULE = """
from sluice import Handlers

first = Handlers(queue="one")
second = Handlers(queue="two")
empty = Handlers()
something = 3

@first.on("{name}.first")
async def one(input: int) -> int:
    return input

@second.on("{name}.second", run_in="thread")
def two(input: int) -> int:
    return input
"""


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("apples", "pears"):
        (tmp_path / f"{name}_to_load.py").write_text(MODULE.format(name=name))
    (tmp_path / "broken_to_load.py").write_text("import apples_to_load\nraise ValueError('soft')")
    (tmp_path / "crooked_to_load.py").write_text("def f(:")
    monkeypatch.syspath_prepend(tmp_path)


def reasons(*paths: str) -> dict[str, str]:
    with pytest.raises(HandlersNotLoaded) as raised:
        load(paths)
    return {fault.path: fault.reason for fault in raised.value.faults}


def test_the_handlers_of_several_modules_are_found_by_name() -> None:
    found = load(["apples_to_load:first", "apples_to_load:second", "pears_to_load:first"])
    assert {name: each.queue for name, each in found.items()} == {
        "apples.first": "one",
        "apples.second": "two",
        "pears.first": "one",
    }


def test_nothing_to_load_is_a_fault() -> None:
    assert "SLUICE_HANDLERS names no handlers" in reasons()[""]


@pytest.mark.parametrize("path", ["apples_to_load", "apples_to_load:", ":first", ""])
def test_a_path_has_a_module_and_a_name(path: str) -> None:
    assert reasons(path)[path].startswith("write it as package.module:name")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("absent_to_load:handlers", "there is no module 'absent_to_load' here"),
        ("apples_to_load.inner:handlers", "there is no module 'apples_to_load.inner' here"),
        ("broken_to_load:handlers", "its import raised ValueError: soft ("),
        ("crooked_to_load:handlers", "its import raised SyntaxError"),
        ("apples_to_load:something", "it is of type int, not a sluice.Handlers; did you mean apples_to_load:first or"),
        ("apples_to_load:firts", "the module has no 'firts'; did you mean apples_to_load:first or"),
        ("apples_to_load:empty", "no handler is registered on it"),
        (".relative:handlers", "its import raised TypeError"),
    ],
)
def test_a_path_that_gives_no_handlers_says_why(path: str, reason: str) -> None:
    assert reasons(path)[path].startswith(reason)


def test_where_an_import_broke_is_said() -> None:
    assert "broken_to_load.py, line 2" in reasons("broken_to_load:handlers")["broken_to_load:handlers"]


def test_a_name_may_be_registered_once() -> None:
    found = reasons("apples_to_load:first", "pears_to_load:first", "apples_to_load:first")
    assert found == {"apples_to_load:first": "handler 'apples.first' is also in apples_to_load:first"}
