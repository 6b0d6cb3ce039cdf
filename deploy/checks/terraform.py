"""Terraform's files by themselves: formatted, every argument known to the provider, every name declared, described."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from deploy.checks import hcl
from deploy.checks.report import Outcome, Skipped, found

META: Final = frozenset({"for_each", "count", "depends_on", "lifecycle", "provider", "provisioner", "connection"})
_REFERENCE: Final = re.compile(r"(?<![\w.\"-])(var|local|data\.\w+|google_\w+)\.(\w+)")
_UNIT: Final = re.compile(r"(seconds|minutes|hours|days|bytes|count|instances|size|type)$")


def files_are_formatted() -> Outcome:
    if shutil.which("terraform") is None:
        return Skipped("terraform is not installed")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(
        ["terraform", "fmt", "-check", "-recursive", str(hcl.FOLDER)],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    faults = [f"{name} is not formatted: terraform fmt" for name in done.stdout.split()]
    if done.returncode and not faults:
        faults = done.stderr.split("\n")
    return found(f"{len(hcl.files())} files", *faults)


@cache
def provider() -> dict[str, Any]:
    """What the provider takes, for the types in use. Written by `deploy.checks.provider`."""
    schema: dict[str, Any] = json.loads((hcl.FOLDER / "provider.json").read_text())
    return schema


def arguments_exist() -> Outcome:
    """Whether each resource has arguments and blocks that the provider knows, and those that it requires."""
    blocks = hcl.resources()
    faults = [fault for block in blocks for fault in argument_faults(block)]
    version = provider()["version"]
    wanted = hcl.files()["versions.tf"]["terraform"][0]["required_providers"][0]["google"]["version"]
    if not version.startswith(wanted.removeprefix("~> ")):
        faults.append(f"provider.json is of version {version}, versions.tf wants {wanted}")
    return found(f"{len(blocks)} resources, provider {version}", *faults)


def argument_faults(block: hcl.Block) -> Iterator[str]:
    kind = "data" if block.is_data else "resources"
    schema = provider()[kind].get(block.type)
    if schema is None:
        yield f"{block.address}: provider.json does not know {block.type}; make it again (deploy/checks/provider.py)"
        return
    body = {name: value for name, value in block.body.items() if name not in META}
    yield from _faults(block.address, body, schema)


def _faults(place: str, body: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    given = dict(_spelt_out(body))
    for name in given.keys() - schema.keys():
        yield f"{place}: there is no {name}"
    for name, taken in schema.items():
        if taken["required"] and name not in given:
            yield f"{place}: {name} is required"
    for name, value in given.items():
        inner = schema.get(name, {}).get("inner")
        for each in value if isinstance(value, list) else []:
            if inner is not None and isinstance(each, dict):
                yield from _faults(f"{place}.{name}", each, inner)


def _spelt_out(body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Arguments and blocks, with each dynamic block as one of its kind."""
    for name, value in body.items():
        if name != "dynamic":
            yield name, value
            continue
        for each in value:
            for kind, inner in each.items():
                yield kind, inner["content"]


def names_resolve() -> Outcome:
    """Whether what is referred to is declared, what is declared is used, and what is declared is described."""
    variables = {labels[0]: body for labels, body in hcl.blocks("variable")}
    outputs = {labels[0]: body for labels, body in hcl.blocks("output")}
    declared = {f"var.{name}" for name in variables}
    declared |= {
        f"local.{name}" for content in hcl.files().values() for part in content.get("locals", []) for name in part
    }
    declared |= {block.address for block in hcl.resources()}
    used = {f"{kind}.{name}" for kind, name in _REFERENCE.findall(_text())}
    faults = [f"{name} is not declared" for name in sorted(used - declared)]
    faults += [
        f"{name} is not used" for name in sorted(declared - used) if name.startswith(("var.", "local.", "data."))
    ]
    for name, body in {**variables, **outputs}.items():
        if not str(body.get("description", "")).endswith("."):
            faults.append(f"{name} has no description that is a sentence")
    for name, body in variables.items():
        if body.get("type") == "number" and not _UNIT.search(name):
            faults.append(f"var.{name} is a number without its unit in the name")
    return found(f"{len(variables)} variables, {len(declared)} names", *faults)


def _text() -> str:
    """All files, without comments."""
    texts = [path.read_text() for path in sorted(hcl.FOLDER.glob("*.tf"))]
    return "\n".join(line for text in texts for line in text.splitlines() if not line.lstrip().startswith("#"))
