"""Log lines: one JSON object each, with what an operator needs and nothing that a tenant sent."""

import io
import logging
from collections.abc import Callable

import orjson
import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.errors import BrokerUnavailable
from shared.telemetry.logs import JsonFormatter
from shared.telemetry.traces import Traces, recording

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


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(("flags", "sampled"), [("01", True), ("00", False)])
def test_a_line_within_a_trace_names_it_as_cloud_logging_reads_it(flags: str, sampled: bool) -> None:
    formatter = JsonFormatter("gateway", "gateway-1", "acme")
    with Traces().request("GET /", f"00-{TRACE}-{SPAN}-{flags}", {}):
        line = orjson.loads(formatter.line(0.0, "INFO", "request", "sluice", {}))
    assert line["logging.googleapis.com/trace"] == f"projects/acme/traces/{TRACE}"
    assert line["logging.googleapis.com/spanId"] == SPAN
    assert line["logging.googleapis.com/trace_sampled"] is sampled


def test_a_recorded_span_is_the_one_that_lines_name() -> None:
    formatter, exporter = JsonFormatter("worker", "worker-1", "acme"), InMemorySpanExporter()
    traces = recording("worker", "worker-1", SimpleSpanProcessor(exporter), ratio=0.0)
    with traces.process("jobs", f"00-{TRACE}-{SPAN}-01", {}):
        line = orjson.loads(formatter.line(0.0, "INFO", "job", "sluice", {}))
    [span] = exporter.get_finished_spans()
    assert span.context is not None
    assert line["logging.googleapis.com/trace"] == f"projects/acme/traces/{span.context.trace_id:032x}"
    assert line["logging.googleapis.com/spanId"] == f"{span.context.span_id:016x}"
    assert line["logging.googleapis.com/trace_sampled"]


@pytest.mark.parametrize("traceparent", [None, "nonsense"])
def test_a_line_outside_of_a_trace_names_none(traceparent: str | None) -> None:
    formatter = JsonFormatter("gateway", "gateway-1", "acme")
    with Traces().request("GET /", f"00-{TRACE}-{SPAN}-01", {}), Traces().request("GET /", None, {}):
        pass
    with Traces().request("GET /", traceparent, {}):
        line = orjson.loads(formatter.line(0.0, "INFO", "request", "sluice", {}))
    assert not [name for name in line if name.startswith("logging.")]
