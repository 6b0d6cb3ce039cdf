"""What exceptions become: never an exception, always bounded, grouped by type and place."""

import sys
from types import ModuleType

import pytest

from services.worker.execution.outcomes import Failed, Rejected, RetryRequested
from services.worker.execution.runner.failures import bounded, ended_by, stack
from shared.models.job import ErrorCode
from sluice.errors import Fault, InvalidInput, InvalidOutput
from sluice.outcomes import Reject, Retry

HERE = __name__


def raised(error: BaseException) -> BaseException:
    try:
        raise error  # noqa: TRY301 - for its traceback
    except BaseException as caught:  # noqa: BLE001
        return caught


def failed(error: BaseException, module: str = HERE) -> Failed:
    ended = ended_by(error, module)
    assert isinstance(ended, Failed)
    return ended


def test_what_authors_raise_on_purpose_is_what_they_said() -> None:
    assert ended_by(Retry(3, "busy"), HERE) == RetryRequested(3.0, "busy")
    assert ended_by(Retry(), HERE) == RetryRequested(None, "The handler asked for another attempt")
    assert ended_by(Reject("no"), HERE) == Rejected("no")
    assert ended_by(InvalidInput([Fault("/a", "is missing")]), HERE) == Rejected("The input is invalid: /a: is missing")


def test_an_invalid_output_is_not_retried() -> None:
    ended = failed(InvalidOutput([Fault("/a", "is no number")]))
    assert (ended.code, ended.retryable) == (ErrorCode.INVALID_OUTPUT, False)


def test_a_group_of_one_is_the_one_and_a_group_of_two_is_a_group() -> None:
    assert ended_by(ExceptionGroup("", [ExceptionGroup("", [Reject("no")])]), HERE) == Rejected("no")
    assert failed(ExceptionGroup("two", [Reject("no"), ValueError()])).message.startswith("ExceptionGroup: two")


class Hollow(Retry):
    def __init__(self) -> None:
        pass  # and so it has neither a pause nor a reason


class Lying(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise KeyboardInterrupt


class Unnamed(Exception, metaclass=Lying):
    pass


class Text(str):
    def __format__(self, spec: str) -> str:
        raise SystemExit

    def __getitem__(self, key: object) -> str:
        raise SystemExit


class Odd(Exception):
    def __str__(self) -> str:
        return Text("odd")


@pytest.mark.parametrize("error", [Hollow(), Unnamed(), Odd()])
def test_an_exception_that_cannot_be_described_is_a_failure_all_the_same(error: Exception) -> None:
    ended = failed(raised(error))
    assert (ended.code, ended.retryable) == (ErrorCode.HANDLER_ERROR, True)


def test_a_message_is_cut_between_characters() -> None:
    assert bounded("ab", 2) == "ab"
    cut = bounded("ü" * 50, 20)
    assert cut == "ü" * 8 + "…"
    assert bounded("\ud800") == "?"


SOURCE = """{blank}
def helper(error):
    raise error

def handler(error, deep):
    if deep:
        return handler(error, deep - 1)
    helper(error)

def other(error, deep):
    helper(error)
"""


def module(name: str, blank: str = "") -> ModuleType:
    made = ModuleType(name)
    exec(compile(SOURCE.format(blank=blank), f"/somewhere/{name}.py", "exec"), vars(made))
    return made


def fingerprint(made: ModuleType, function: str, error: Exception, deep: int = 0) -> str:
    try:
        getattr(made, function)(error, deep)
    except Exception as caught:  # noqa: BLE001
        return failed(caught, made.__name__).fingerprint
    raise AssertionError("it should have raised")


def test_a_fingerprint_is_the_type_and_the_way_through_the_handlers_own_code() -> None:
    acme = module("acme")
    one = fingerprint(acme, "handler", ValueError("a"))
    assert one == fingerprint(acme, "handler", ValueError("b"))
    assert one == fingerprint(acme, "handler", ValueError("a"), deep=min(900, sys.getrecursionlimit() // 2))
    assert one == fingerprint(module("acme", blank="\n\n\n"), "handler", ValueError("a"))
    assert one != fingerprint(acme, "handler", KeyError("a"))
    assert one != fingerprint(acme, "other", ValueError("a"))


def test_the_stack_names_places_and_quotes_nothing() -> None:
    lines = stack(raised(ValueError("canary")))
    assert lines[-1].endswith(" raised")
    assert "canary" not in "".join(lines)
