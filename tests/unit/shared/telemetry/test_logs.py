"""Log lines: one JSON object each, with what an operator needs and nothing that a tenant sent."""

import io
import logging
from collections.abc import Callable

import orjson
import pytest

from shared.errors import BrokerUnavailable
from shared.telemetry.logs import JsonFormatter

Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def journal() -> tuple[logging.Logger, Lines]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("worker", "worker-1"))
    logger = logging.Logger("sluice.test")  # noqa: LOG001 - apart from the process's own
    logger.addHandler(handler)
    return logger, lambda: [orjson.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_who_what_and_when(journal: tuple[logging.Logger, Lines]) -> None:
    logger, lines = journal
    logger.info("job", extra={"job": "job_1", "run_seconds": 0.5})
    [line] = lines()
    assert (line["severity"], line["message"], line["service"], line["instance"]) == (
        "INFO",
        "job",
        "worker",
        "worker-1",
    )
    assert (line["job"], line["run_seconds"]) == ("job_1", 0.5)
    assert str(line["time"]).endswith("Z")


def logged(journal: tuple[logging.Logger, Lines], fault: Exception) -> list[dict[str, object]]:
    """What is written of `fault`."""
    logger, lines = journal
    try:
        raise fault
    except type(fault):
        logger.exception("put off")
    return lines()


def test_an_exception_is_one_line_with_its_stack_and_not_its_words(journal: tuple[logging.Logger, Lines]) -> None:
    fault = ValueError("another secret")
    fault.__cause__ = KeyError("secret of a tenant")
    [line] = logged(journal, fault)
    assert "secret" not in str(line)
    exception = line["exception"]
    assert isinstance(exception, dict)
    assert exception["type"] == "builtins.ValueError"
    assert exception["cause"] == "builtins.KeyError"
    assert "test_logs.py" in exception["stack"][-1]


def test_our_own_words_are_kept(journal: tuple[logging.Logger, Lines]) -> None:
    [line] = logged(journal, BrokerUnavailable("no connection within 5 s"))
    assert "no connection within 5 s" in str(line["exception"])


def test_a_group_of_exceptions_is_told_apart(journal: tuple[logging.Logger, Lines]) -> None:
    [line] = logged(journal, ExceptionGroup("several", [ValueError("x"), BrokerUnavailable("away")]))
    exception = line["exception"]
    assert isinstance(exception, dict)
    assert [each["type"] for each in exception["exceptions"]] == [
        "builtins.ValueError",
        "shared.errors.BrokerUnavailable",
    ]


def test_any_value_can_be_a_field(journal: tuple[logging.Logger, Lines]) -> None:
    logger, lines = journal
    logger.info("odd", extra={"path": io, "set": {1}})
    assert len(lines()) == 1
