"""Whether dashboards and alerts ask for what exists: every metric in a query is exposed, every label is its own."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import yaml

from deploy.checks import gke, reference
from deploy.checks.report import ROOT, Outcome, found
from deploy.monitoring.dashboards import FOLDER, files
from shared.models.job import ErrorCode, JobStatus
from shared.telemetry.metrics import Metrics

TARGET_LABELS: Final = frozenset({"job", "instance", "service_name", "le"})
"""What whoever scrapes adds to each series, and the bound of a histogram's bucket."""
_SELECTOR: Final = re.compile(r"\b((?:sluice|process|python)_\w+)(?:\{([^}]*)\})?")
_GROUPING: Final = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_MATCHER: Final = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
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
    """What a query asks for that nobody exposes."""
    selectors = _SELECTOR.findall(query)
    if not selectors:
        yield "names no metric"
    labels: set[str] = set(TARGET_LABELS)
    for name, matchers in selectors:
        if name not in exposed():
            yield f"nothing exposes {name}"
            continue
        own = exposed()[name]
        labels |= own
        for label, value in _MATCHER.findall(matchers):
            if label not in own | TARGET_LABELS:
                yield f"{name} has no label {label}"
            if label == "outcome" and (unknown := set(value.split("|")) - OUTCOMES):
                yield f"no outcome is called {', '.join(sorted(unknown))}"
    for group in _GROUPING.findall(query):
        for label in filter(None, (each.strip() for each in group.split(","))):
            if label not in labels:
                yield f"nothing in it has the label {label}"


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
