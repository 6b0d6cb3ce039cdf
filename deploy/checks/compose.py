"""Whether docker-compose.yml fits the Compose specification, and whether what it mounts exists."""

from collections.abc import Iterator
from typing import Any

import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema.exceptions import best_match
from jsonschema.validators import validator_for

from deploy.checks.report import ROOT, Outcome, found


def file_fits_its_schema() -> Outcome:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found(f"{len(compose['services'])} services", *faults(compose))


def faults(compose: dict[str, Any]) -> Iterator[str]:
    """What is wrong with a compose file."""
    schema = get_builtin_schema("vendor.compose-spec")
    error = best_match(validator_for(schema)(schema).iter_errors(compose))
    if error is not None:
        yield f"{error.json_path}: {error.message[:200]}"
        return
    for name, service in compose["services"].items():
        for mount in service.get("volumes", []):
            source = str(mount).split(":")[0]
            if source.startswith("./") and not (ROOT / source).exists():
                yield f"{name} mounts {source}, which does not exist"
        for needed in service.get("depends_on", {}):
            if needed not in compose["services"]:
                yield f"{name} depends on {needed}, which does not exist"
