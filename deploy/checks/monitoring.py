"""Whether dashboards and alerts ask for what exists: every metric in a query is exposed, every label is its own."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import promql_parser
import yaml

from deploy.checks import gke, reference
from deploy.checks.report import ROOT, Outcome, found
from deploy.monitoring.dashboards import FOLDER, files
from shared.models.job import ErrorCode, JobStatus
from shared.telemetry.metrics import Metrics

TARGET_LABELS: Final = frozenset({"job", "instance", "service_name", "le"})
"""What whoever scrapes adds to each series, and the bound of a histogram's bucket."""
OUTCOMES: Final = {str(each) for each in (*ErrorCode, *JobStatus)}


@cache
def exposed() -> Mapping[str, frozenset[str]]:
    """Every series that a process exposes, with its labels."""
    series = {name: frozenset(metric.labels) for metric in reference.metrics() for name in reference.series(metric)}
    own = Metrics()
    own.watch_process()
    names = re.findall(r"^# TYPE (\w+)", own.expose().decode(), re.MULTILINE)
    return {**series, **dict.fromkeys(names, frozenset())}


def dashboards_are_as_written() -> Outcome:
    faults = [
        f"{path.relative_to(ROOT)} is not what the panels make; write it again: python -m deploy.monitoring"
        for path, text in files().items()
        if not path.is_file() or path.read_text() != text
    ]
    return found(f"{len(files())} dashboards", *faults)


def queries_name_what_exists() -> Outcome:
    queries = dict(_queries())
    faults = [f"{place}: {fault}" for place, query in queries.items() for fault in query_faults(query)]
    return found(f"{len(queries)} queries, {len(exposed())} series", *faults)


def query_faults(query: str) -> Iterator[str]:
    """What a query asks for that nobody exposes; or why it is none."""
    try:
        parts = _parts(query)
    except ValueError as error:
        yield f"cannot be parsed: {error}"
        return
    labels = set(TARGET_LABELS)
    selectors = [part for part in parts if isinstance(part, promql_parser.VectorSelector)]
    for selector in selectors:
        labels |= exposed().get(str(selector.name), frozenset())
        yield from _selector_faults(selector)
    if not selectors:
        yield "names no metric"
    for label in sorted({label for part in parts for label in _grouped(part)} - labels):
        yield f"nothing in it has the label {label}"


def _parts(query: str) -> list[Any]:
    """Every expression in it. Raises ValueError."""
    parts: list[Any] = []
    promql_parser.walk(promql_parser.parse(query), parts.append)
    return parts


def _selector_faults(selector: Any) -> Iterator[str]:
    if selector.name not in exposed():
        yield f"nothing exposes {selector.name}"
        return
    own = exposed()[selector.name]
    for matcher in selector.matchers.matchers:
        if matcher.name not in own | TARGET_LABELS:
            yield f"{selector.name} has no label {matcher.name}"
        if matcher.name == "outcome" and (unknown := set(matcher.value.split("|")) - OUTCOMES):
            yield f"no outcome is called {', '.join(sorted(unknown))}"


def _grouped(part: Any) -> list[str]:
    """The labels by which an expression groups or matches."""
    modifier = getattr(part, "modifier", None)
    chosen = getattr(modifier, "matching", None) or modifier
    return list(getattr(chosen, "labels", None) or [])


def rules() -> Iterator[dict[str, Any]]:
    """Every alert."""
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]:
        yield from group["rules"]


def _queries() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield f"alert {rule['alert']}", rule["expr"]
    for panel in json.loads((FOLDER / "grafana/sluice.json").read_text())["panels"]:
        for target in panel.get("targets", []):
            yield f"Grafana, {panel['title']} {target['refId']}", target["expr"]
    for tile in json.loads((FOLDER / "cloud-monitoring.json").read_text())["mosaicLayout"]["tiles"]:
        for number, data in enumerate(tile["widget"]["xyChart"]["dataSets"]):
            yield f"Cloud Monitoring, {tile['widget']['title']} {number}", data["timeSeriesQuery"]["prometheusQuery"]
    for place, each in gke.written():
        if each["kind"] == "ScaledObject":
            for number, trigger in enumerate(each["spec"]["triggers"]):
                yield f"{place} {each['metadata']['name']} {number}", trigger["metadata"]["query"]
        if each["kind"] == "HorizontalPodAutoscaler":
            yield from _scaler_queries(place, each)


def _scaler_queries(place: str, scaler: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Metrics of Managed Service for Prometheus that a scaler names: `prometheus.googleapis.com|<name>|<kind>`."""
    for metric in scaler["spec"]["metrics"]:
        name = metric.get("pods", {}).get("metric", {}).get("name", "")
        if name.startswith("prometheus.googleapis.com|"):
            yield f"{place} {name}", name.split("|")[1]
