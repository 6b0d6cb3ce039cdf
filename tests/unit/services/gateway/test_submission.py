"""The body of a submission: what is taken, and which refusal each fault gets."""

from typing import Any

import pytest

from services.gateway.http.problems import Problem
from services.gateway.jobs.submission import Submission, parse_submission

NOW = 1_750_000_000_000


def refused(body: Any) -> Problem:
    with pytest.raises(Problem) as refusal:
        parse_submission(body, now=NOW)
    return refusal.value


def test_handler_and_input_are_enough() -> None:
    assert parse_submission({"handler": "h", "input": None}, now=NOW) == Submission("h", None)


def test_every_option_is_read() -> None:
    body = {
        "handler": "h",
        "input": {"a": 1},
        "delay_seconds": 1.5,
        "timeout_seconds": 3,
        "max_attempts": 7,
        "expires_in_seconds": 60,
        "labels": {"team": "a"},
    }
    read = parse_submission(body, now=NOW)
    assert read == Submission("h", {"a": 1}, NOW + 1_500, 3.0, 7, 60, {"team": "a"})


def test_a_moment_in_the_past_is_now() -> None:
    assert parse_submission({"handler": "h", "input": 1, "run_at": "2020-01-01T00:00:00Z"}, now=NOW).run_at is None


def test_explicit_nulls_are_defaults() -> None:
    assert parse_submission({"handler": "h", "input": 1, "labels": None, "run_at": None}, now=NOW).labels == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("handler", ""),
        ("handler", 3),
        ("run_at", "tomorrow"),
        ("run_at", "2026-01-01T00:00:00"),
        ("run_at", 5),
        ("delay_seconds", "1"),
        ("delay_seconds", True),
        ("timeout_seconds", "1"),
        ("max_attempts", 1.5),
        ("max_attempts", True),
        ("labels", ["a"]),
        ("labels", {"a": 1}),
        ("colour", "blue"),
        ("cache", ""),
        ("cache", "Use"),
        ("cache", True),
        ("cache", ["use"]),
        ("cache", {}),
    ],
)
def test_malformed_fields_are_400_and_named(field: str, value: Any) -> None:
    problem = refused({"handler": "h", "input": 1, field: value})
    assert problem.type.status == 400
    assert [fault.pointer for fault in problem.errors] == [f"/{field}"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("delay_seconds", -1),
        ("delay_seconds", 30 * 86_400 + 1),
        ("run_at", "2099-01-01T00:00:00Z"),
        ("timeout_seconds", 0),
        ("timeout_seconds", 3_601),
        ("max_attempts", 0),
        ("max_attempts", 101),
        ("expires_in_seconds", 0),
        ("expires_in_seconds", 6 * 86_400 + 1),
        ("labels", {str(n): "" for n in range(17)}),
        ("labels", {"k" * 64: ""}),
        ("labels", {"": ""}),
        ("labels", {"k": "v" * 257}),
    ],
)
def test_values_beyond_a_limit_are_422_and_named(field: str, value: Any) -> None:
    problem = refused({"handler": "h", "input": 1, field: value})
    assert problem.type.status == 422
    assert [fault.pointer for fault in problem.errors] == [f"/{field}"]


def test_all_faults_are_told_at_once() -> None:
    problem = refused({"a/b": 1, "max_attempts": "x"})
    assert {fault.pointer for fault in problem.errors} == {"/handler", "/input", "/max_attempts", "/a~1b"}


@pytest.mark.parametrize(
    ("options", "shareable"),
    [
        ({}, True),
        ({"cache": "use"}, True),
        ({"cache": None}, True),
        ({"cache": "refresh"}, True),
        ({"run_at": "2020-01-01T00:00:00Z", "labels": {}}, True),
        ({"cache": "off"}, False),
        ({"delay_seconds": 1}, False),
        ({"run_at": "2025-06-16T00:00:00Z"}, False),
        ({"timeout_seconds": 30}, False),
        ({"max_attempts": 5}, False),
        ({"expires_in_seconds": 86_400}, False),
        ({"labels": {"a": ""}}, False),
        ({"cache": "refresh", "max_attempts": 5}, False),
    ],
)
def test_only_a_request_for_the_work_and_nothing_else_can_be_shared(options: dict[str, Any], shareable: bool) -> None:
    assert parse_submission({"handler": "h", "input": {"a": [1]}} | options, now=NOW).shareable is shareable


@pytest.mark.parametrize("body", [[], "x", 1, None])
def test_the_body_is_an_object(body: Any) -> None:
    assert refused(body).type.status == 400


def test_two_times_to_run_at_are_one_too_many() -> None:
    body = {"handler": "h", "input": 1, "run_at": "2026-01-01T00:00:00Z", "delay_seconds": 1}
    assert refused(body).type.status == 400
