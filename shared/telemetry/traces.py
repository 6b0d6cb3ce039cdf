"""Traces that follow a job from its request through its message to its finish.

The context travels as W3C `traceparent` in message attributes and in the job's spec. A span that handles a message
links to the one that sent it (OpenTelemetry's messaging conventions). The sampled flag of whoever comes first decides,
and is looked at before anything is built: a sampled span costs 17 µs, a look at the flag almost nothing. Nothing is
recorded, and no exporter is even imported, unless an OTLP endpoint is configured.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from shared.telemetry.logs import traced

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Trail:
    """The unit of work's place in a trace: what to hand on, and what to add to."""

    traceparent: str | None = None
    _span: Span | None = None

    def note(self, name: str, value: str | int | float | bool) -> None:
        """Add an attribute, if anyone records."""
        if self._span is not None:
            self._span.set_attribute(name, value)

    def fail(self, kind: str) -> None:
        """Say that the work failed, by the kind of error only."""
        if self._span is not None:
            self._span.set_attribute("error.type", kind)
            self._span.set_status(StatusCode.ERROR)


class Traces:
    """Starts spans. Without a provider it only hands the context on.

    ratio: the share of requests without a `traceparent` that start a trace, 0…1.
    """

    def __init__(
        self,
        provider: TracerProvider | None = None,
        *,
        ratio: float = 0.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("sluice") if provider else None
        self._ratio = ratio
        self._chance = chance

    @property
    def recording(self) -> bool:
        """Whether anything is ever recorded."""
        return self._tracer is not None

    def request(
        self, name: str, traceparent: str | None, attributes: Mapping[str, str]
    ) -> AbstractContextManager[Trail]:
        """A span for serving a request that may have come with a context."""
        parent = parse_traceparent(traceparent)
        if self._tracer is None or not self._sampled(parent):
            return _unrecorded(traceparent if parent else None)
        context = set_span_in_context(NonRecordingSpan(parent)) if parent else None
        return self._span(self._tracer, name, SpanKind.SERVER, attributes, context=context)

    def process(
        self, destination: str, traceparent: str | None, attributes: Mapping[str, str]
    ) -> AbstractContextManager[Trail]:
        """A span for handling one message of `destination`, linked to the span that sent it."""
        sender = parse_traceparent(traceparent)
        if self._tracer is None or sender is None or not sender.trace_flags.sampled:
            return _unrecorded(traceparent if sender else None)
        described = {"messaging.system": "gcp_pubsub", "messaging.destination.name": destination, **attributes}
        name, links = f"process {destination}", [Link(sender)]
        return self._span(self._tracer, name, SpanKind.CONSUMER, described, links=links)

    def shutdown(self) -> None:
        """Export what is waiting, within the exporter's own deadline."""
        if self._provider is not None:
            self._provider.shutdown()

    @contextmanager
    def _span(
        self,
        tracer: Tracer,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, str],
        *,
        context: Context | None = None,
        links: Sequence[Link] = (),
    ) -> Iterator[Trail]:
        """A span that an exception marks as failed by its type: its words could quote an input."""
        with tracer.start_as_current_span(
            name,
            context,
            kind,
            dict(attributes),
            links,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            trail = Trail(traceparent := format_traceparent(span.get_span_context()), span)
            try:
                with traced(traceparent):
                    yield trail
            except BaseException as fault:
                trail.fail(type(fault).__qualname__)
                raise

    def _sampled(self, parent: SpanContext | None) -> bool:
        if parent is not None:
            return parent.trace_flags.sampled
        return self._ratio > 0 and self._chance() < self._ratio


def _unrecorded(traceparent: str | None) -> AbstractContextManager[Trail]:
    """Where nobody records, the context is handed on, and lines are written under it."""
    return nullcontext(Trail()) if traceparent is None else _handed_on(traceparent)


@contextmanager
def _handed_on(traceparent: str) -> Iterator[Trail]:
    with traced(traceparent):
        yield Trail(traceparent)


def exporting(service: str, instance: str, *, endpoint: str, ratio: float) -> Traces:
    """Traces that are exported to the OTLP/gRPC `endpoint`; with no endpoint, traces that only hand the context on."""
    if not endpoint:
        return Traces()
    return recording(service, instance, _exporter(endpoint), ratio=ratio)


def recording(service: str, instance: str, processor: SpanProcessor, *, ratio: float) -> Traces:
    """Traces that end up in `processor`."""
    resource = Resource.create({"service.name": f"sluice-{service}", "service.instance.id": instance})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return Traces(provider, ratio=ratio)


def _exporter(endpoint: str) -> SpanProcessor:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # 0.2 s to import
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=endpoint.startswith("http://"), timeout=5))


def parse_traceparent(text: str | None) -> SpanContext | None:
    """The context, or None when there is none or it is malformed (which is then as if it were not there)."""
    match = _TRACEPARENT.fullmatch(text) if text else None
    if match is None:
        return None
    return SpanContext(int(match[1], 16), int(match[2], 16), is_remote=True, trace_flags=TraceFlags(int(match[3], 16)))


def carried(traceparent: str | None) -> str | None:
    """What to hand on where nobody records: the context as it came, if it is one."""
    return traceparent if parse_traceparent(traceparent) else None


def format_traceparent(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
