"""Whether the objects of `deploy/gke` are ones: Kubernetes' own strictly against its schemas, the others against ours.

Every file is looked at by itself, which needs no program; where kubectl is installed the overlays are built as well,
and what comes out is looked at likewise.
"""

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import yaml

from deploy.checks import schemas
from deploy.checks.report import ROOT, Outcome, Skipped, found
from shared.egress import CLOSED_V4, CLOSED_V6, OPEN_V6
from shared.lifecycle import HARD_STOP_SECONDS

FOLDER: Final = ROOT / "deploy/gke"
KUBERNETES: Final = "1.32"
WIDEST: Final = 8
"""Bits of the widest range that is not the internet."""
REACHES_THE_INTERNET: Final = frozenset({"sluice-webhooks"})
"""The only pods that may: everything else talks to Google's APIs and to Redis."""

Objects = list[tuple[str, dict[str, Any]]]


@cache
def written() -> Objects:
    """Every object in the files, with its file. What kustomize itself reads is none."""
    paths = [path for path in sorted(FOLDER.rglob("*.yaml")) if path.name != "kustomization.yaml"]
    return [
        (str(path.relative_to(FOLDER)), each) for path in paths for each in yaml.safe_load_all(path.read_text()) if each
    ]


@cache
def built() -> Objects | None:
    """Every object of every overlay as kubectl builds it; None where there is no kubectl. Raises OSError."""
    if shutil.which("kubectl") is None:
        return None
    overlays = sorted(path.parent for path in FOLDER.glob("overlays/*/kustomization.yaml"))
    return [(overlay.name, each) for overlay in overlays for each in yaml.safe_load_all(_kustomize(overlay))]


def _kustomize(overlay: Path) -> str:
    done = subprocess.run(
        ["kubectl", "kustomize", str(overlay)], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise OSError(done.stderr.strip())
    return done.stdout


def objects_fit_their_schemas() -> Outcome:
    faults = [f"{place}: {fault}" for place, each in written() if (fault := schema_fault(each))]
    return found(f"{len(written())} objects, Kubernetes {KUBERNETES}", *faults, *_unresolved())


def schema_fault(each: dict[str, Any]) -> str | None:
    """What is wrong with one object; None where nothing is."""
    kind = each.get("kind", "nothing")
    ours = schemas.schema("gke")["$defs"].get(kind)
    if ours is not None:
        fault = schemas.fault(each, ours)
        return fault and f"{kind}: {fault}"
    try:
        kubernetes_validate.validate(each, KUBERNETES, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return f"{kind}: {getattr(error, 'message', error)}"
    return None


def _unresolved() -> Iterator[str]:
    """What a kustomization refers to and is not there."""
    for path in sorted(FOLDER.rglob("kustomization.yaml")):
        content = yaml.safe_load(path.read_text())
        for name in (*content.get("resources", []), *content.get("components", [])):
            if not (path.parent / name).exists():
                yield f"{path.relative_to(FOLDER)}: there is no {name}"


def pods_have_time_to_drain() -> Outcome:
    """Whether Kubernetes waits for longer than what runs before SIGTERM and the longest drain take together."""
    deployments = [each for _, each in written() if each["kind"] == "Deployment"]
    faults = [f"{each['metadata']['name']}: {fault}" for each in deployments for fault in _drain_faults(each)]
    return found(f"{len(deployments)} deployments", *faults)


def _drain_faults(deployment: dict[str, Any]) -> Iterator[str]:
    spec = deployment["spec"]["template"]["spec"]
    [container] = spec["containers"]
    pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    grace = spec["terminationGracePeriodSeconds"]
    if grace <= pause + HARD_STOP_SECONDS:
        yield f"{grace} s of grace for {pause} s of pause and {HARD_STOP_SECONDS} s of drain"
    if any("containerPort" in port and port["containerPort"] == 8080 for port in container["ports"]) and not pause:
        yield "serves requests and does not wait for the load balancer before it stops"


def only_those_who_may_reach_the_internet() -> Outcome:
    policies = [each for _, each in written() if each["kind"] == "NetworkPolicy"]
    faults = [
        f"{each['metadata']['name']} lets pods out to the internet"
        for each in policies
        if any(_blocks(each)) and _pods(each) not in REACHES_THE_INTERNET
    ]
    faults += [
        f"{each['metadata']['name']} lets pods out to {net}"
        for each in policies
        if _pods(each) in REACHES_THE_INTERNET
        for net in _left_open(each)
    ]
    if not any(each["spec"]["podSelector"] == {} and "egress" not in each["spec"] for each in policies):
        faults.append("no policy denies what no other allows")
    return found(f"{len(policies)} network policies", *faults)


def _blocks(policy: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The ranges in which a policy lets pods out to the internet."""
    for rule in policy["spec"].get("egress", []):
        for to in rule.get("to") or [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}]:
            if "ipBlock" in to and ip_network(to["ipBlock"]["cidr"]).prefixlen < WIDEST:
                yield to["ipBlock"]


def _left_open(policy: dict[str, Any]) -> Iterator[str]:
    """Where nobody may be called (`shared/egress.py`), and the policy would let them."""
    for block in _blocks(policy):
        excepted = {str(ip_network(each)) for each in block.get("except", [])}
        closed = CLOSED_V4 if ip_network(block["cidr"]).version == 4 else CLOSED_V6
        yield from (str(each) for each in closed if str(each) not in excepted)
        if ip_network(block["cidr"]).version == 6 and block["cidr"] != str(OPEN_V6):
            yield f"more of IPv6 than {OPEN_V6}"


def _pods(policy: dict[str, Any]) -> str:
    labels: dict[str, str] = policy["spec"]["podSelector"].get("matchLabels", {})
    return labels.get("app.kubernetes.io/name", "")


def overlays_build() -> Outcome:
    try:
        objects = built()
    except OSError as error:
        return found("overlays", str(error))
    if objects is None:
        return Skipped("kubectl is not installed")
    faults = [f"{place}: {fault}" for place, each in objects if (fault := schema_fault(each))]
    faults += [f"{place}: {fault}" for place, each in objects for fault in _dangling(place, each, objects)]
    return found(f"{len(objects)} objects in {len({place for place, _ in objects})} overlays", *faults)


def _dangling(place: str, each: dict[str, Any], objects: Objects) -> Iterator[str]:
    """A scaler whose target does not exist."""
    if each["kind"] == "HorizontalPodAutoscaler":
        target = each["spec"]["scaleTargetRef"]
        there = {(o["kind"], o["metadata"]["name"]) for at, o in objects if at == place}
        if (target["kind"], target["name"]) not in there:
            yield f"{each['metadata']['name']} scales {target['name']}, which does not exist"
