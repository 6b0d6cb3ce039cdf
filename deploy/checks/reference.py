"""`docs/configuration.md`: every setting and every metric, from where they are declared.

`python -m deploy.checks.reference` writes it; `make check` proves that it is as written, that every metric is kept by
some service, and that what manifests set is a setting of the service that they run.
"""

import ast
import importlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.admin.settings import Settings as AdminSettings
from deploy.checks import cloudrun, gke
from deploy.checks.report import ROOT, Outcome, found
from shared.config import ServiceSettings, describe
from shared.telemetry import metrics as declared
from shared.telemetry.metrics import Metric

DOCUMENT: Final = ROOT / "docs/configuration.md"
FOREIGN: Final = {"SLUICE_DEV_KEYS"}
"""Of the administration, in an environment that compose gives to everybody."""
_INTRODUCTION: Final = """# Configuration and metrics

Written by `python -m deploy.checks.reference` from where each is declared; `make check` compares. Every setting is a
variable of the environment, read once when a process starts. A process that cannot use one says which and ends with
status 78.
"""


def documents_are_as_written() -> Outcome:
    faults = []
    if not DOCUMENT.is_file() or DOCUMENT.read_text() != document():
        faults.append("docs/configuration.md is not as declared; write it again: python -m deploy.checks.reference")
    faults += [f"no service keeps the metric {name}" for name in sorted(set(constants()) - set(kept()))]
    faults += _unknown_settings()
    return found(
        f"{len(metrics())} metrics, {sum(len(describe(each)) for each in services().values())} settings", *faults
    )


@cache
def services() -> Mapping[str, type[ServiceSettings]]:
    """The settings of every service that there is."""
    names = sorted(path.parent.name for path in (ROOT / "services").glob("*/settings.py"))
    return {name: importlib.import_module(f"services.{name}.settings").Settings for name in names}


@cache
def constants() -> Mapping[str, Metric]:
    """Every metric that is declared, by its constant."""
    return {name: each for name, each in vars(declared).items() if isinstance(each, Metric)}


def metrics() -> list[Metric]:
    """Every metric that is declared."""
    return list(constants().values())


def series(metric: Metric) -> list[str]:
    """The names under which Prometheus sees it."""
    name = f"{metric.name}_{metric.unit}" if metric.unit else metric.name
    suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}[metric.kind]
    return [name + suffix for suffix in suffixes]


@cache
def kept() -> Mapping[str, list[str]]:
    """By a metric's constant, the services whose code makes it."""
    found: dict[str, list[str]] = {}
    for service in services():
        names = {name for path in (ROOT / "services" / service).rglob("*.py") for name in _made(path)}
        for name in sorted(names):
            found.setdefault(name, []).append(service)
    return found


def _made(path: Path) -> Iterator[str]:
    """What stands in the calls `….counter(NAME)`, `….gauge(NAME)`, `….histogram(NAME)`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in {"counter", "gauge", "histogram"} and node.args and isinstance(node.args[0], ast.Name):
            yield node.args[0].id


def document() -> str:
    """The whole of it."""
    common = describe(ServiceSettings)
    parts = [_INTRODUCTION, "## Every service\n", _settings(common)]
    for name, settings in services().items():
        parts += [f"## {name}\n", _settings([row for row in describe(settings) if row not in common])]
    parts += ["## sluice-admin\n", _settings(describe(AdminSettings)), "## Metrics\n", _METRICS, _metrics()]
    return "\n".join(parts)


_METRICS: Final = """Every process serves them at `/metrics` of its admin port, in Prometheus' format, with those of
the process itself (`process_*`, `python_info`). With `SLUICE_OTLP_ENDPOINT` they are
sent there too, every 15 s, under the same names; a unit leaves the name and is told as such.
"""


def _settings(rows: list[tuple[str, str, str, str]]) -> str:
    lines = ["| variable | default | unit | what for |", "|---|---|---|---|"]
    for name, default, unit, why in rows:
        lines.append(f"| `{name}` | {_default(default)} | {unit} | {why.replace('|', chr(92) + '|')} |")
    return "\n".join([*lines, ""])


def _default(text: str) -> str:
    if text == "required":
        return "required"
    return "" if text in {"", "()", "Secret()"} else f"`{text}`"


def _metrics() -> str:
    lines = ["| metric | kind | labels | kept by | what |", "|---|---|---|---|---|"]
    for constant, metric in constants().items():
        name = series(metric)[0].removesuffix("_bucket")
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(
            f"| `{name}` | {metric.kind} | {labels} | {', '.join(kept().get(constant, []))} | {metric.description} |"
        )
    return "\n".join([*lines, ""])


def _unknown_settings() -> Iterator[str]:
    for place, service, name in _set_somewhere():
        known = {row[0] for row in describe(services()[service])}
        if name not in known | FOREIGN:
            yield f"{place}: {name} is no setting of {service}"


def _set_somewhere() -> Iterator[tuple[str, str, str]]:
    """Where a variable is set, for which service, and its name."""
    for path in sorted(cloudrun.FOLDER.glob("*.yaml")):
        service = path.name.split(".")[0]
        if service in services():
            spec = cloudrun.filled(path)["spec"]["template"]["spec"]
            yield from _variables(f"cloudrun/{path.name}", service, spec["containers"][0])
    for place, each in gke.written():
        if each["kind"] == "Deployment":
            [container] = each["spec"]["template"]["spec"]["containers"]
            yield from _variables(f"gke/{place}", container["name"], container)
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    for service in services():
        for name in compose["services"].get(service, {}).get("environment", {}):
            if service == "worker" or name != "SLUICE_HANDLERS":
                yield "docker-compose.yml", service, name


def _variables(place: str, service: str, container: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for variable in container.get("env", []):
        yield place, service, variable["name"]


def main() -> None:
    DOCUMENT.write_text(document())


if __name__ == "__main__":
    main()
