"""Whether Terraform computes what is meant: its own `locals`, evaluated by itself, against the same in Python.

`terraform console` needs no provider for what names no resource, so this runs wherever terraform is installed. It
proves that every loop over services, topics, queues, secrets and alerts comes out as the table of rights and the
manifests say.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.checks import cloudrun, hcl, monitoring, services
from deploy.checks.declared import example
from deploy.checks.report import ROOT, Outcome, Skipped, found

FILES: Final = ("locals.tf", "identities.tf", "cloudrun.tf", "monitoring.tf", "firestore.tf")
BESIDE: Final = ("cloudrun", "monitoring", "services.json", "firestore.indexes.json")
PUSHED: Final = "images"
"""A queue that is pushed, so that both ways are looked at."""
ENDPOINT: Final = "https://sluice-worker-{queue}-123.europe-west1.run.app"
VALUES: Final = {
    "push_queues": f'["{PUSHED}"]',
    "project": "acme",
    "images": "some",
    "tag": "some",
    "handlers": '["some"]',
    "network": "some",
}
STUBS: Final = f"""
locals {{
  redis_url = "{cloudrun.EXAMPLES["redis_url"]}"
}}
"""
ASKED: Final = """jsonencode({
  projects = keys(local.project_rights), publishers = keys(local.publishers), subscribers = local.subscribers,
  secrets = keys(local.secret_readers), dead_lettering = keys(local.dead_lettering), manifests = local.manifests,
  alerts = keys(local.alerts), pushed = [for name, pushed in local.pushed : name if pushed],
  indexes = length(local.firestore.indexes)
})"""
SECONDS: Final = 30


def terraform_computes_what_is_meant() -> Outcome:
    if shutil.which("terraform") is None:
        return Skipped("terraform is not installed")
    try:
        computed = _evaluated()
    except (ValueError, OSError) as error:
        return found("locals", str(error))
    wanted = expected()
    faults = [
        f"{name}: {_difference(computed[name], wanted[name])}" for name in wanted if computed[name] != wanted[name]
    ]
    return found(f"{len(wanted)} values", *faults)


def expected() -> dict[str, Any]:
    """The same values, computed here."""
    table, topology = services.table(), example()
    subscriptions = topology["subscriptions"]
    return {
        "projects": sorted(f"{name} {role}" for name, each in table.items() for role in each["project_roles"]),
        "publishers": sorted(
            f"{name} {topic['name']}"
            for name, each in table.items()
            for topic in topology["topics"]
            if topic["kind"] in each["publishes"]
        ),
        "subscribers": {each["name"]: each["reader"] for each in subscriptions if each["reader"] in table},
        "secrets": sorted(f"{name} {secret}" for name, each in table.items() for secret in each["secrets"]),
        "dead_lettering": sorted(each["name"] for each in subscriptions if each["dead_letter_topic"]),
        "manifests": dict(_manifests(table, topology["queues"])),
        "alerts": sorted(rule["alert"] for rule in monitoring.rules()),
        "pushed": sorted(each["name"] for each in subscriptions if _pushed(each)),
        "indexes": len(json.loads((ROOT / "deploy/firestore.indexes.json").read_text())["indexes"]),
    }


def _pushed(subscription: dict[str, Any]) -> bool:
    return bool(subscription["dead_letter_topic"]) and f"-jobs-{PUSHED}-" in subscription["topic"]


def _manifests(table: dict[str, Any], queues: list[str]) -> Iterator[tuple[str, Any]]:
    push = {"push_endpoint": ENDPOINT, "push_queues": PUSHED}
    for name, each in table.items():
        if not each["each_queue"]:
            yield name, {**cloudrun.filled(cloudrun.FOLDER / f"{name}.yaml", **push), "service": name}
            continue
        for queue in queues:
            file = f"{name}.push.yaml" if queue == PUSHED else f"{name}.yaml"
            yield f"{name}-{queue}", {**cloudrun.filled(cloudrun.FOLDER / file, queue=queue, **push), "service": name}


def _evaluated() -> dict[str, Any]:
    """Raises ValueError with what terraform says, OSError."""
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder) / "deploy/terraform"
        module.mkdir(parents=True)
        for name in BESIDE:
            (module.parent / name).symlink_to(ROOT / "deploy" / name)
        for name in ("variables.tf", "topology.json"):
            shutil.copy(hcl.FOLDER / name, module)
        (module / "locals.tf").write_text("\n".join([STUBS, *(block for name in FILES for block in _locals(name))]))
        return _console(module)


def _locals(name: str) -> list[str]:
    """The blocks of a file that compute, with a number for the only resource that they name."""
    text = (hcl.FOLDER / name).read_text().replace("data.google_project.project.number", "123")
    return re.findall(r"^locals \{\n.*?^\}\n", text, re.MULTILINE | re.DOTALL)


def _console(module: Path) -> dict[str, Any]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(
        ["terraform", "console", "-no-color", *(f"-var={name}={value}" for name, value in VALUES.items())],
        cwd=module,
        env=environ,
        input=" ".join(ASKED.split()),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    if done.returncode or not done.stdout.startswith('"'):
        raise ValueError(f"terraform cannot evaluate them: {' '.join((done.stdout + done.stderr).split())[:600]}")
    computed: dict[str, Any] = json.loads(yaml.safe_load(done.stdout))
    return computed


def _difference(computed: Any, wanted: Any) -> str:
    if isinstance(computed, list) and isinstance(wanted, list):
        return f"{sorted(set(map(str, computed)) ^ set(map(str, wanted)))} are in one of both only"
    return f"{str(computed)[:200]} is not {str(wanted)[:200]}"
