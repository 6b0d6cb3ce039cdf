"""Metrics by OTLP, beside Prometheus: what `/metrics` shows, sent to a collector every so often.

Only where an OTLP endpoint is configured; nothing of this is imported otherwise. What is kept is kept once, by
prometheus-client; here it is put into OpenTelemetry's words. A unit leaves the name and becomes the metric's unit, as
OpenTelemetry has it, and comes back where a backend turns it into a Prometheus name. Started by `shared.lifecycle`.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

EVERY_SECONDS: Final = 15.0
SEND_SECONDS: Final = 2.0
"""For one export; the last one is within the drain of a process that has ten seconds to end."""
_UNITS: Final = {"seconds": "s", "bytes": "By"}
_NANOSECONDS: Final = 1_000_000_000
_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE
_Labels = tuple[tuple[str, str], ...]

_log = logging.getLogger("sluice.telemetry")


@asynccontextmanager
async def exported(
    registry: CollectorRegistry, service: str, instance: str, endpoint: str, every_seconds: float = EVERY_SECONDS
) -> AsyncIterator[None]:
    """Send the registry's metrics to the OTLP/gRPC `endpoint` while the block lasts, and once at its end."""
    resource = Resource.create({"service.name": f"sluice-{service}", "service.instance.id": instance})
    insecure = endpoint.startswith("http://")
    exporter = OTLPMetricExporter(endpoint=endpoint, insecure=insecure, timeout=SEND_SECONDS)
    began = time.time_ns()

    async def send() -> None:
        data = metrics_data(
            registry, resource, began=began, now=time.time_ns()
        )  # here: gauges look at the loop's state
        if await asyncio.to_thread(_export, exporter, data) is not MetricExportResult.SUCCESS:
            _log.warning("metrics were not exported")

    async def keep_sending() -> None:
        while True:
            await asyncio.sleep(every_seconds)
            await send()

    sending = asyncio.create_task(keep_sending(), name="metrics export")
    try:
        yield
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await send()
        await asyncio.to_thread(exporter.shutdown, SEND_SECONDS * 1_000)


def _export(exporter: OTLPMetricExporter, data: MetricsData) -> MetricExportResult:
    return exporter.export(data, timeout_millis=SEND_SECONDS * 1_000)


def metrics_data(registry: CollectorRegistry, resource: Resource, *, began: int, now: int) -> MetricsData:
    """Everything in the registry. began, now: nanoseconds since the epoch, of the process and of the figures."""
    metrics = [each for family in registry.collect() for each in _metric(family, began, now)]
    scope = ScopeMetrics(InstrumentationScope("sluice"), metrics, "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _metric(family: Family, began: int, now: int) -> Iterator[Metric]:
    convert = _CONVERTED.get(family.type)
    data = convert(family, began, now) if convert else None
    if data is not None and data.data_points:
        unit = _UNITS.get(family.unit, "1")
        name = family.name.removesuffix(f"_{family.unit}") if unit != "1" else family.name
        yield Metric(name, family.documentation, unit, data)


def _sum(family: Family, began: int, now: int) -> Sum:
    totals = [each for each in family.samples if each.name == f"{family.name}_total"]
    return Sum(list(_numbers(totals, began, now)), _CUMULATIVE, is_monotonic=True)


def _gauge(family: Family, began: int, now: int) -> Gauge:
    return Gauge(list(_numbers(family.samples, began, now)))


def _numbers(samples: Iterable[Sample], began: int, now: int) -> Iterator[NumberDataPoint]:
    for each in samples:
        yield NumberDataPoint(dict(each.labels), began, now, each.value)


def _histogram(family: Family, began: int, now: int) -> Histogram:
    series: dict[_Labels, dict[str, float]] = {}
    for each in family.samples:
        labels = tuple((name, value) for name, value in each.labels.items() if name != "le")
        part = each.labels["le"] if "le" in each.labels else each.name.rpartition("_")[2]
        series.setdefault(labels, {})[part] = each.value
    return Histogram([_distribution(dict(labels), parts, began, now) for labels, parts in series.items()], _CUMULATIVE)


def _distribution(labels: Mapping[str, str], parts: Mapping[str, float], began: int, now: int) -> HistogramDataPoint:
    """parts: counts up to each bound, as Prometheus has them, `sum`, and `created` (seconds)."""
    bounds = sorted(float(part) for part in parts if part not in {"sum", "count", "created"})
    below = {float(part): value for part, value in parts.items() if part not in {"sum", "count", "created"}}
    upto = [below[bound] for bound in bounds]
    counts = [round(one - other) for one, other in zip(upto, [0.0, *upto], strict=False)]
    start = round(parts.get("created", began / _NANOSECONDS) * _NANOSECONDS)
    unknown: Any = None  # the least and the greatest are not kept
    return HistogramDataPoint(
        labels, start, now, round(upto[-1]), parts["sum"], counts, bounds[:-1], min=unknown, max=unknown
    )


_CONVERTED: Final[Mapping[str, Callable[[Family, int, int], Sum | Gauge | Histogram]]] = {
    "counter": _sum,
    "gauge": _gauge,
    "histogram": _histogram,
}
