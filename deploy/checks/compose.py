"""Whether docker-compose.yml fits the Compose specification, and whether what it mounts exists."""

from collections.abc import Iterator
from typing import Any

import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from deploy.checks.report import ROOT, Outcome, found


def file_fits_its_schema() -> Outcome:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    error = best_match(Draft7Validator(get_builtin_schema("vendor.compose-spec")).iter_errors(compose))
    faults = [f"{error.json_path}: {error.message[:200]}"] if error else []
    return found(f"{len(compose['services'])} services", *faults, *_faults(compose))


def _faults(compose: dict[str, Any]) -> Iterator[str]:
    for name, service in compose["services"].items():
        for mount in service.get("volumes", []):
            source = str(mount).split(":")[0]
            if source.startswith("./") and not (ROOT / source).exists():
                yield f"{name} mounts {source}, which does not exist"
        for needed in service.get("depends_on", {}):
            if needed not in compose["services"]:
                yield f"{name} depends on {needed}, which does not exist"
