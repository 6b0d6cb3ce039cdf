"""Metrics, under OpenTelemetry's naming, kept by prometheus-client (prebound, an observation costs under 1 µs).

Every metric of Sluice is declared here: what is not in this file does not exist, and dashboards and alerts are checked
against it. A service asks for its metrics once, in its composition root, and binds the labels it will use.
"""

from dataclasses import dataclass, field
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LONG = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's declaration. `unit` is appended to the exposed name."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    description: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    buckets: tuple[float, ...] = ()


HTTP_REQUESTS = Metric(
    "sluice_http_requests", "counter", "Requests answered, by route and status.", ("route", "status")
)
HTTP_DURATION = Metric(
    "sluice_http_request_duration",
    "histogram",
    "From the request's head to the answer, waits included.",
    ("route",),
    "seconds",
    _FAST,
)
HTTP_HELD = Metric("sluice_http_requests_held", "gauge", "Requests held open for a job to change.")
LOOP_LATENESS = Metric(
    "sluice_loop_lateness", "gauge", "How late the gateway's loop runs its timers, smoothed.", (), "seconds"
)
LOOP_STALLS = Metric("sluice_loop_stalls", "counter", "Times that the gateway's loop ran 100 ms late or more.")
CACHE_ANSWERS = Metric(
    "sluice_cache_answers", "counter", "Requests for work that is shared, by what the cache said.", ("answer",)
)
JOBS_FINISHED = Metric(
    "sluice_jobs_finished", "counter", "Attempts ended, by handler and outcome.", ("handler", "outcome")
)
JOB_RUN_TIME = Metric(
    "sluice_job_run_time", "histogram", "From the handler's start to its end.", ("handler",), "seconds", _LONG
)
JOB_QUEUE_TIME = Metric(
    "sluice_job_queue_time", "histogram", "From acceptance (or due time) to the claim.", ("queue",), "seconds", _LONG
)
JOBS_RUNNING = Metric("sluice_jobs_running", "gauge", "Jobs that this worker holds.")
CLAIMS = Metric("sluice_claims", "counter", "Claims tried, by result.", ("result",))
PUSHES = Metric("sluice_pushes", "counter", "Messages pushed to this worker, by what was answered.", ("outcome",))
TIMERS_RELEASED = Metric("sluice_timers_released", "counter", "Timers whose message was published.")
TIMER_LAG = Metric("sluice_timer_lag", "histogram", "From a timer's due time to its release.", (), "seconds", _LONG)
TIMER_SHARDS_HELD = Metric("sluice_timer_shards", "gauge", "Shards of the timers that this scheduler has.")
QUEUE_BACKLOG = Metric("sluice_queue_backlog", "gauge", "Messages that no worker holds.", ("queue", "lane"))
QUEUE_OLDEST_AGE = Metric(
    "sluice_queue_oldest_age",
    "gauge",
    "Age of the oldest message that waits or is in flight.",
    ("queue", "lane"),
    "seconds",
)
QUEUE_IN_FLIGHT = Metric("sluice_queue_in_flight", "gauge", "Messages that workers hold.", ("queue", "lane"))
QUEUE_WORKERS = Metric("sluice_queue_workers", "gauge", "Processes that take from the lane.", ("queue", "lane"))
QUEUE_PAUSED = Metric("sluice_queue_paused", "gauge", "1 where an operator has paused the queue, else 0.", ("queue",))
WEBHOOK_EVENTS = Metric("sluice_webhook_events", "counter", "Events read, by what came of them.", ("result",))
WEBHOOK_ATTEMPTS = Metric(
    "sluice_webhook_attempts", "counter", "Attempts at a delivery, by their outcome.", ("outcome",)
)
WEBHOOK_DURATION = Metric(
    "sluice_webhook_duration", "histogram", "From the slot to the end of the answer.", (), "seconds", _FAST
)
WEBHOOK_LAG = Metric(
    "sluice_webhook_lag", "histogram", "From an event to the first attempt at its delivery.", (), "seconds", _LONG
)
WEBHOOK_ENDS = Metric("sluice_webhook_deliveries_ended", "counter", "Deliveries that are over, by state.", ("state",))
WEBHOOKS_DUE = Metric(
    "sluice_webhook_deliveries_due", "gauge", "Deliveries due on this instance's shards, as far as seen."
)
WEBHOOKS_OLDEST = Metric(
    "sluice_webhook_oldest_due", "gauge", "How long the oldest of them has been due.", (), "seconds"
)
WEBHOOKS_IN_FLIGHT = Metric("sluice_webhook_requests_in_flight", "gauge", "Requests to endpoints under way.")
WEBHOOK_SHARDS = Metric("sluice_webhook_shards", "gauge", "Shards that this instance holds.")


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics of one process."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.description, metric.labels, registry=self.registry)

    def gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.name, metric.description, metric.labels, unit=metric.unit, registry=self.registry)

    def histogram(self, metric: Metric) -> Histogram:
        return Histogram(
            metric.name,
            metric.description,
            metric.labels,
            unit=metric.unit,
            buckets=metric.buckets,
            registry=self.registry,
        )

    def watch_process(self) -> None:
        """Add CPU, memory, descriptors and interpreter of this process."""
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def expose(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)
