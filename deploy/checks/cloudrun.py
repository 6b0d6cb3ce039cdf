"""Whether the manifests of Cloud Run are ones: each filled in as Terraform does it, then held against their schema.

Beyond the schema: a service's manifest is of that service, runs as its account, has no secret in the open, and asks
only for secrets that the account may read.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any, Final

import yaml

from deploy.checks import hcl, schemas, services
from deploy.checks.report import ROOT, Outcome, found

FOLDER: Final = ROOT / "deploy/cloudrun"
EXAMPLES: Final = {
    "project": "acme",
    "region": "europe-west1",
    "subnetwork": "default",
    "gateway_ingress": "all",
    "gateway_min_instances": "1",
    "gateway_max_instances": "100",
    "redis_url": "rediss://10.0.0.3:6379/0?ssl_ca_certs=/etc/sluice/redis/ca.pem",
    "instances": "1",
    "worker_max_instances": "100",
    "webhooks_instances": "2",
    "aggregator_instances": "2",
    "public_url": "",
    "push_endpoint": "",
    "push_queues": "",
    "queue": "default",
    "prefix": "sluice",
}
EACH_QUEUE: Final = {"queue", "instances"}
_SECRET: Final = re.compile(r"(KEY|SECRET|TOKEN|PASSWORD)S?$")


def manifests_fit_their_schema() -> Outcome:
    paths = sorted(FOLDER.glob("*.yaml"))
    faults = [f"{path.name}: {fault}" for path in paths for fault in _faults(path)]
    return found(f"{len(paths)} manifests", *faults)


def known_names() -> set[str]:
    """What Terraform fills in."""
    [local] = [part for part in hcl.files()["locals.tf"]["locals"] if "manifest_values" in part]
    return set(local["manifest_values"])


def filled(path: Path, **given: str) -> Any:
    """The manifest with these values, and examples in place of others. Raises KeyError for a name that has none."""
    values = {name: EXAMPLES.get(name, "some") for name in known_names() | EACH_QUEUE} | given
    return yaml.safe_load(Template(path.read_text()).substitute(values))


def _faults(path: Path) -> Iterator[str]:
    try:
        manifest = filled(path)
    except (KeyError, ValueError) as error:
        yield f"Terraform does not fill in {error}"
        return
    fault = schemas.fault(manifest, schemas.schema("cloudrun"))
    if fault:
        yield fault
    elif manifest["kind"] != "RunMonitoring":
        yield from _service_faults(path.name.split(".")[0], manifest)


def _service_faults(name: str, manifest: dict[str, Any]) -> Iterator[str]:
    spec = manifest["spec"]["template"]["spec"]
    if not spec["serviceAccountName"].startswith(f"sluice-{name}@"):
        yield f"does not run as the account of {name}"
    if not manifest["metadata"]["name"].startswith(f"sluice-{name}"):
        yield f"is not named after {name}"
    if spec["containers"][0]["name"] != name or f"/sluice-{name}:" not in spec["containers"][0]["image"]:
        yield f"its first container is not {name}"
    allowed = {f"sluice-{secret}" for secret in services.table()[name]["secrets"]}
    for secret in sorted(set(_secrets(spec)) - allowed):
        yield f"{name} may not read {secret}"
    for container in spec["containers"]:
        for variable in container.get("env", []):
            if _SECRET.search(variable["name"]) and "value" in variable:
                yield f"{variable['name']} is written in the open"


def _secrets(spec: dict[str, Any]) -> Iterator[str]:
    for volume in spec.get("volumes", []):
        yield volume["secret"]["secretName"]
    for container in spec["containers"]:
        for variable in container.get("env", []):
            if "valueFrom" in variable:
                yield variable["valueFrom"]["secretKeyRef"]["name"]
