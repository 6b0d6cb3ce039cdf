"""Traces: who comes first decides, the context survives the message, and nothing is recorded for nobody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.telemetry.traces import Traces, exporting, format_traceparent, parse_traceparent, recording

SAMPLED = f"00-{'a' * 32}-{'b' * 16}-01"
UNSAMPLED = f"00-{'a' * 32}-{'b' * 16}-00"


class Bench:
    def __init__(self, ratio: float = 0.0) -> None:
        self._exporter = InMemorySpanExporter()
        self.traces = recording("gateway", "gateway-1", SimpleSpanProcessor(self._exporter), ratio=ratio)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())


def test_a_sampled_parent_is_continued_and_handed_on() -> None:
    b = Bench()
    with b.traces.request("POST /v1/jobs", SAMPLED, {"http.request.method": "POST"}) as trail:
        handed_on = parse_traceparent(trail.traceparent)
    [span] = b.spans
    assert handed_on is not None
    assert span.context is not None
    assert span.parent is not None
    assert (span.parent.trace_id, span.parent.span_id) == (int("a" * 32, 16), int("b" * 16, 16))
    assert (handed_on.trace_id, handed_on.span_id) == (span.context.trace_id, span.context.span_id)
    assert handed_on.trace_flags.sampled


def test_an_unsampled_parent_records_nothing_and_is_handed_on_as_it_is() -> None:
    b = Bench(ratio=1.0)
    with b.traces.request("GET", UNSAMPLED, {}) as trail:
        assert trail.traceparent == UNSAMPLED
    assert b.spans == []


@pytest.mark.parametrize(("ratio", "recorded"), [(0.0, 0), (1.0, 1)])
def test_the_ratio_decides_where_nobody_has(ratio: float, recorded: int) -> None:
    b = Bench(ratio)
    with b.traces.request("GET", None, {}) as trail:
        assert (trail.traceparent is not None) == bool(recorded)
    assert len(b.spans) == recorded


def test_handling_a_message_links_to_whoever_sent_it() -> None:
    b = Bench()
    with b.traces.process("sluice-jobs-default-interactive", SAMPLED, {"sluice.job": "job_1"}) as trail:
        trail.note("sluice.status", "succeeded")
    [span] = b.spans
    [link] = span.links
    assert span.parent is None
    assert link.context.span_id == int("b" * 16, 16)
    assert span.attributes is not None
    assert span.attributes["messaging.system"] == "gcp_pubsub"
    assert span.attributes["sluice.status"] == "succeeded"


@pytest.mark.parametrize("sender", [None, UNSAMPLED, "nonsense"])
def test_handling_a_message_nobody_sampled_records_nothing(sender: str | None) -> None:
    b = Bench(ratio=1.0)
    with b.traces.process("t", sender, {}):
        pass
    assert b.spans == []


def test_a_failure_leaves_its_kind_and_not_its_words() -> None:
    b = Bench()
    with pytest.raises(ValueError, match="secret"), b.traces.process("t", SAMPLED, {}):
        raise ValueError("secret")
    [span] = b.spans
    assert "secret" not in str(span.to_json())
    assert span.attributes is not None
    assert span.attributes["error.type"] == "ValueError"
    assert not span.status.is_ok


def test_without_an_endpoint_the_context_is_only_handed_on() -> None:
    traces = exporting("gateway", "g", endpoint="", ratio=1.0)
    with traces.request("GET", SAMPLED, {}) as trail:
        assert trail.traceparent == SAMPLED
    with Traces().request("GET", None, {}) as trail:
        assert trail.traceparent is None
    traces.shutdown()


@pytest.mark.parametrize(
    "text",
    ["", "00", SAMPLED.upper(), SAMPLED + "0", f"00-{'0' * 32}-{'b' * 16}-01", f"00-{'a' * 32}-{'0' * 16}-01", "ff-"],
)
def test_a_malformed_context_is_as_none(text: str) -> None:
    assert parse_traceparent(text) is None
    with Traces().request("GET", text, {}) as trail:
        assert trail.traceparent is None


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
def test_contexts_survive_the_round_trip(trace: int, span: int, flags: int) -> None:
    text = f"00-{trace:032x}-{span:016x}-{flags:02x}"
    parsed = parse_traceparent(text)
    assert parsed is not None
    assert format_traceparent(parsed) == text
