"""What operators see, declared once for Grafana and for Cloud Monitoring: rows of panels, with their queries in PromQL.

`make check` proves that every metric in a query is one that a process exposes, and that both dashboards are as
`dashboards` makes them from this.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Query:
    """legend: Grafana's, with labels in double braces."""

    promql: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """unit: Grafana's word for it. says: what to make of it."""

    title: str
    unit: str
    says: str
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


GATEWAY: Final = Row(
    "Gateway",
    (
        Panel(
            "Requests by route",
            "reqps",
            "What clients ask.",
            (Query("sum by (route) (rate(sluice_http_requests_total[5m]))", "{{route}}"),),
        ),
        Panel(
            "Refusals and failures",
            "reqps",
            "429 is a key's limit, 503 overload or a dependency that is away, 500 a fault of ours.",
            (Query('sum by (status) (rate(sluice_http_requests_total{status=~"429|5.."}[5m]))', "{{status}}"),),
        ),
        Panel(
            "Held requests",
            "short",
            "Clients that wait for a job. SLUICE_MAX_HELD bounds them a process.",
            (
                Query("sum(sluice_http_requests_held)", "all"),
                Query("max(sluice_http_requests_held)", "most of one process"),
            ),
        ),
        Panel(
            "Time to accept a job",
            "s",
            "POST /v1/jobs; who waits for the result is in it, so look at the median.",
            tuple(
                Query(
                    f"histogram_quantile({quantile}, sum by (le) "
                    '(rate(sluice_http_request_duration_seconds_bucket{route="/v1/jobs"}[5m])))',
                    f"p{round(quantile * 100)}",
                )
                for quantile in (0.5, 0.9)
            ),
        ),
        Panel(
            "Lateness of the loop",
            "s",
            "How late the busiest gateway is. From 0.3 s on it turns away who waits, from 1 s on everybody.",
            (Query("max(sluice_loop_lateness_seconds)", "latest"),),
        ),
        Panel(
            "Answers to shared work",
            "reqps",
            "What the cache said to requests for handlers with cache_for.",
            (Query("sum by (answer) (rate(sluice_cache_answers_total[5m]))", "{{answer}}"),),
        ),
    ),
)
QUEUES: Final = Row(
    "Queues",
    (
        Panel(
            "Backlog",
            "short",
            "Messages that no worker holds. No line: nobody knows, as after Redis was lost.",
            (Query("max by (queue, lane) (sluice_queue_backlog)", "{{queue}} {{lane}}"),),
        ),
        Panel(
            "Age of the oldest message",
            "s",
            "What waits or runs. A long job is no trouble; a long wait is.",
            (Query("max by (queue, lane) (sluice_queue_oldest_age_seconds)", "{{queue}} {{lane}}"),),
        ),
        Panel(
            "From acceptance to the claim",
            "s",
            "What clients feel of a backlog.",
            (
                Query(
                    "histogram_quantile(0.95, sum by (le, queue) (rate(sluice_job_queue_time_seconds_bucket[5m])))",
                    "p95 {{queue}}",
                ),
            ),
        ),
        Panel(
            "Workers and what they hold",
            "short",
            "Processes that take from the queue's lanes, messages in flight, and whether operators have paused it.",
            (
                Query("max by (queue) (sluice_queue_workers)", "workers {{queue}}"),
                Query("sum by (queue) (max by (queue, lane) (sluice_queue_in_flight))", "in flight {{queue}}"),
                Query("max by (queue) (sluice_queue_paused)", "paused {{queue}}"),
            ),
        ),
    ),
)
WORKERS: Final = Row(
    "Workers",
    (
        Panel(
            "Attempts by outcome",
            "ops",
            "succeeded, or the code of the error.",
            (Query("sum by (outcome) (rate(sluice_jobs_finished_total[5m]))", "{{outcome}}"),),
        ),
        Panel(
            "Run time of handlers",
            "s",
            "From the handler's start to its end.",
            (
                Query(
                    "histogram_quantile(0.95, sum by (le, handler) (rate(sluice_job_run_time_seconds_bucket[5m])))",
                    "p95 {{handler}}",
                ),
            ),
        ),
        Panel(
            "Claims by result",
            "ops",
            "Many that are not `claimed` mean that messages come again: lost leases, or acknowledgements that fail.",
            (Query("sum by (result) (rate(sluice_claims_total[5m]))", "{{result}}"),),
        ),
        Panel(
            "Pushes by outcome",
            "reqps",
            "Where queues are pushed. A message that was refused comes again, and that counts as a delivery.",
            (Query("sum by (outcome) (rate(sluice_pushes_total[5m]))", "{{outcome}}"),),
        ),
        Panel(
            "Jobs that run",
            "short",
            "Of all workers.",
            (Query("sum(sluice_jobs_running)", "running"),),
        ),
    ),
)
SCHEDULER: Final = Row(
    "Scheduler and processes",
    (
        Panel(
            "Timers released",
            "ops",
            "Retries and delayed jobs.",
            (Query("sum(rate(sluice_timers_released_total[5m]))", "released"),),
        ),
        Panel(
            "How late timers are",
            "s",
            "From the due time to the publish. Seconds are ordinary, minutes are not.",
            (Query("histogram_quantile(0.99, sum by (le) (rate(sluice_timer_lag_seconds_bucket[5m])))", "p99"),),
        ),
        Panel(
            "CPU of a process",
            "percentunit",
            "1 is a whole core, and all that one process can use.",
            (Query("max by (service_name) (rate(process_cpu_seconds_total[5m]))", "{{service_name}}"),),
        ),
        Panel(
            "Memory of a process",
            "bytes",
            "The largest of each service.",
            (Query("max by (service_name) (process_resident_memory_bytes)", "{{service_name}}"),),
        ),
    ),
)
WEBHOOKS: Final = Row(
    "Webhooks",
    (
        Panel(
            "Deliveries due",
            "short",
            "Due and not sent yet, of all instances. What waits for an endpoint that is down is not due.",
            (Query("sum(sluice_webhook_deliveries_due)", "due"),),
        ),
        Panel(
            "Age of the oldest delivery due",
            "s",
            "A slow endpoint makes minutes by itself; more means too few instances.",
            (Query("max(sluice_webhook_oldest_due_seconds)", "oldest"),),
        ),
        Panel(
            "From the event to the first attempt",
            "s",
            "The median is ours; what is above it is also endpoints that are down.",
            tuple(
                Query(
                    f"histogram_quantile({quantile}, sum by (le) (rate(sluice_webhook_lag_seconds_bucket[5m])))",
                    f"p{round(quantile * 100)}",
                )
                for quantile in (0.5, 0.95)
            ),
        ),
        Panel(
            "Attempts by outcome",
            "ops",
            "gone: answered 410 and was disabled. blocked: leads to where nobody may be called.",
            (Query("sum by (outcome) (rate(sluice_webhook_attempts_total[5m]))", "{{outcome}}"),),
        ),
        Panel(
            "Deliveries that ended",
            "ops",
            "exhausted and expired can be recovered by the endpoint's owner.",
            (Query("sum by (state) (rate(sluice_webhook_deliveries_ended_total[5m]))", "{{state}}"),),
        ),
        Panel(
            "Time of an attempt",
            "s",
            "How fast endpoints answer. After 15 s an attempt is over.",
            tuple(
                Query(
                    f"histogram_quantile({quantile}, sum by (le) (rate(sluice_webhook_duration_seconds_bucket[5m])))",
                    f"p{round(quantile * 100)}",
                )
                for quantile in (0.5, 0.95)
            ),
        ),
        Panel(
            "Events read",
            "ops",
            "postponed: the store did not answer, and the event comes again.",
            (Query("sum by (result) (rate(sluice_webhook_events_total[5m]))", "{{result}}"),),
        ),
        Panel(
            "Requests under way and shards held",
            "short",
            "SLUICE_SLOTS bounds the requests of an instance. Together instances hold 16 shards.",
            (
                Query("sum(sluice_webhook_requests_in_flight)", "requests"),
                Query("sum(sluice_webhook_shards)", "shards"),
            ),
        ),
    ),
)
AGGREGATOR: Final = Row(
    "Batches and statistics",
    (
        Panel(
            "Batches that ended",
            "ops",
            "By status. A batch with failed items is completed.",
            (Query("sum by (status) (rate(sluice_batches_ended_total[5m]))", "{{status}}"),),
        ),
        Panel(
            "Time of a batch",
            "s",
            "From its creation to its end, its reduction included.",
            tuple(
                Query(
                    f"histogram_quantile({quantile}, sum by (le) (rate(sluice_batch_duration_seconds_bucket[5m])))",
                    f"p{round(quantile * 100)}",
                )
                for quantile in (0.5, 0.95)
            ),
        ),
        Panel(
            "Events merged",
            "ops",
            "postponed: the store did not answer, and the event comes again.",
            (Query("sum by (result) (rate(sluice_aggregator_events_total[5m]))", "{{result}}"),),
        ),
        Panel(
            "Events that wait for a write",
            "short",
            "SLUICE_EVENTS bounds those of an instance.",
            (Query("sum(sluice_aggregator_events_held)", "held"),),
        ),
        Panel(
            "Windows",
            "ops",
            "batch: one write, of about one a second that a batch takes. statistics: documents written.",
            (Query("sum by (wrote) (rate(sluice_aggregator_windows_total[5m]))", "{{wrote}}"),),
        ),
        Panel(
            "Items settled",
            "ops",
            "found: ended without an event. ended: by a cancel, or by the deadline.",
            (Query("sum by (how) (rate(sluice_aggregator_items_settled_total[5m]))", "{{how}}"),),
        ),
    ),
)
ROWS: Final = (GATEWAY, QUEUES, WORKERS, AGGREGATOR, WEBHOOKS, SCHEDULER)
