"""Whether every service that exists is deployed, everywhere: what a new service is missing is said in one list."""

import json
from functools import cache
from typing import Any, Final

import yaml

from deploy.checks.report import ROOT, Outcome, found
from deploy.local.services import SERVICES

TABLE: Final = ROOT / "deploy/services.json"
SERVICE_FIELDS: Final = {"each_queue", "publishes", "documents", "secrets", "project_roles"}


@cache
def table() -> dict[str, dict[str, Any]]:
    """`deploy/services.json`: each service's rights, and whether it runs once for each queue."""
    services: dict[str, dict[str, Any]] = json.loads(TABLE.read_text())
    return services


def every_service_is_deployed() -> Outcome:
    """The table of `make run` is the list that counts."""
    wanted = {spec.name for spec in SERVICES}
    faults = [f"deploy/services.json has no {name}" for name in sorted(wanted - table().keys())]
    faults += [f"deploy/services.json has {name}, which does not exist" for name in sorted(table().keys() - wanted)]
    for name, service in table().items():
        if service.keys() != SERVICE_FIELDS:
            faults.append(f"deploy/services.json, {name}: the fields are not {', '.join(sorted(SERVICE_FIELDS))}")
    for name in sorted(wanted & table().keys()):
        faults += _missing(name, each_queue=table()[name]["each_queue"])
    return found(f"{len(wanted)} services", *faults)


def _missing(name: str, *, each_queue: bool) -> list[str]:
    faults = []
    if not (ROOT / f"deploy/cloudrun/{name}.yaml").is_file():
        faults.append(f"deploy/cloudrun/{name}.yaml is missing")
    gke = f"deploy/gke/{name}" if each_queue else f"deploy/gke/base/{name}"
    if not (ROOT / gke / "kustomization.yaml").is_file():
        faults.append(f"{gke}/kustomization.yaml is missing")
    scraped = yaml.safe_load((ROOT / "deploy/monitoring/prometheus.yaml").read_text())["scrape_configs"]
    if name not in [job["job_name"] for job in scraped]:
        faults.append(f"deploy/monitoring/prometheus.yaml does not scrape {name}")
    return faults
