"""Metrics by OTLP: what a collector gets is what Prometheus would read, in OpenTelemetry's words."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.telemetry.metrics import HTTP_DURATION, HTTP_HELD, HTTP_REQUESTS, LOOP_LATENESS, Metrics
from shared.telemetry.otlp_metrics import exported
from tests.unit.shared.telemetry.collector import Collector, collecting


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as running:
        yield running


def kept() -> Metrics:
    metrics = Metrics()
    metrics.counter(HTTP_REQUESTS).labels("/v1/jobs", 202).inc(3)
    metrics.gauge(HTTP_HELD).set(7)
    metrics.gauge(LOOP_LATENESS).set(0.5)
    durations = metrics.histogram(HTTP_DURATION).labels("/v1/jobs")
    for seconds in (0.002, 0.002, 0.2, 90.0):
        durations.observe(seconds)
    return metrics


async def test_a_collector_gets_counters_gauges_and_histograms(collector: Collector) -> None:
    async with exported(kept().registry, "gateway", "gateway-1", collector.endpoint):
        pass
    [resource] = collector.requests[-1].resource_metrics
    told = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert (told["service.name"], told["service.instance.id"]) == ("sluice-gateway", "gateway-1")
    found = collector.latest
    [requests] = found["sluice_http_requests"].sum.data_points
    assert requests.as_double == 3
    assert {each.key: each.value.string_value for each in requests.attributes} == {
        "route": "/v1/jobs",
        "status": "202",
    }
    assert found["sluice_http_requests"].sum.is_monotonic
    assert [point.as_double for point in found["sluice_http_requests_held"].gauge.data_points] == [7]
    assert found["sluice_loop_lateness"].unit == "s"
    assert found["sluice_http_request_duration"].unit == "s"
    [durations] = found["sluice_http_request_duration"].histogram.data_points
    assert (durations.count, list(durations.explicit_bounds)) == (4, list(HTTP_DURATION.buckets))
    assert durations.sum == pytest.approx(90.204)
    counts = dict(zip([*durations.explicit_bounds, float("inf")], durations.bucket_counts, strict=True))
    assert {bound: count for bound, count in counts.items() if count} == {0.0025: 2, 0.25: 1, float("inf"): 1}


async def test_metrics_are_sent_again_and_again(collector: Collector) -> None:
    async with exported(kept().registry, "gateway", "gateway-1", collector.endpoint, every_seconds=0.01):
        async with asyncio.timeout(30):
            while len(collector.requests) < 3:
                collector.came.clear()
                await collector.came.wait()


async def test_a_collector_that_is_not_there_hurts_nobody(
    collector: Collector, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.telemetry.otlp_metrics.SEND_SECONDS", 0.2)
    async with exported(kept().registry, "gateway", "gateway-1", "http://127.0.0.1:1"):
        pass
    assert "metrics were not exported" in caplog.text
    assert not collector.requests
