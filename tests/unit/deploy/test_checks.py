"""The offline checks of `deploy/`: all is well as it stands, and each fault that is planted is found."""

import copy
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.checks import cloudrun, compose, gke, hcl, monitoring, reference, rights, runbook, schemas, services
from deploy.checks import terraform as checked
from deploy.checks.__main__ import CHECKS, main
from deploy.checks.declared import example
from deploy.checks.report import ROOT, Check, Found, Skipped
from shared.config import describe
from shared.storage.webhook_contract import DELIVERY_SHARDS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_all_is_well(check: Check) -> None:
    outcome = check()
    assert isinstance(outcome, Skipped) or outcome.faults == ()


def test_a_fault_is_told_and_ends_with_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def something_is_so() -> Found:
        return Found("one thing", ("it is not",))

    monkeypatch.setattr("deploy.checks.__main__.CHECKS", (something_is_so,))
    assert main() == 1
    assert "something is so (one thing)\n           it is not" in capsys.readouterr().out


# --- Terraform ---


@pytest.fixture
def resource() -> Iterator[Any]:
    """Makes a subscription with other arguments than ours."""
    [block] = [each for each in hcl.resources() if each.address == "google_pubsub_subscription.subscription"]

    def changed(**arguments: Any) -> hcl.Block:
        body = {**copy.deepcopy(block.body), **arguments}
        return hcl.Block(block.address, block.type, {name: value for name, value in body.items() if value is not None})

    return iter([changed])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"ack_deadline": 10}, "there is no ack_deadline"),
        ({"topic": None}, "topic is required"),
        ({"retry_policy": [{"minimum": "1s"}]}, "there is no minimum"),
        ({"dynamic": [{"dead_letters": {"content": [{}]}}]}, "there is no dead_letters"),
        ({"expiration_policy": [{}]}, "ttl is required"),
    ],
)
def test_arguments_that_the_provider_does_not_know_are_found(
    resource: Iterator[Any], arguments: dict[str, Any], says: str
) -> None:
    block = next(resource)(**arguments)
    assert any(says in fault for fault in checked.argument_faults(block))


def test_a_type_that_is_not_known_is_found() -> None:
    [fault] = checked.argument_faults(hcl.Block("google_pubsub_snapshot.s", "google_pubsub_snapshot", {}))
    assert "make it again" in fault


def test_a_grant_that_is_not_documented_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    table = copy.deepcopy(services.table())
    table["worker"]["publishes"].append("jobs")
    monkeypatch.setattr(services, "table", lambda: table)
    outcome = rights.terraform_grants_the_documented_rights()
    assert isinstance(outcome, Found)
    assert any("is not this one" in fault for fault in outcome.faults)


def test_a_grant_that_somebody_adds_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    added = hcl.Block("google_project_iam_member.more", "google_project_iam_member", {"role": "roles/editor"})
    everything = [*hcl.resources(), added]
    monkeypatch.setattr(hcl, "resources", lambda: everything)
    outcome = rights.terraform_grants_the_documented_rights()
    assert isinstance(outcome, Found)
    assert outcome.faults[0].startswith("google_project_iam_member.more")


# --- Cloud Run ---


def gateway() -> dict[str, Any]:
    manifest: dict[str, Any] = cloudrun.filled(cloudrun.FOLDER / "gateway.yaml")
    return manifest


def test_a_manifest_with_a_field_that_does_not_exist_is_found() -> None:
    manifest = gateway()
    manifest["spec"]["template"]["spec"]["concurrency"] = 80
    assert schemas.fault(manifest, schemas.schema("cloudrun"))


def test_a_concurrency_that_is_too_high_is_found() -> None:
    manifest = gateway()
    manifest["spec"]["template"]["spec"]["containerConcurrency"] = 1_001
    assert schemas.fault(manifest, schemas.schema("cloudrun"))


def test_a_name_that_nobody_fills_in_is_found(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("kind: ${kind}")
    with pytest.raises(KeyError):
        cloudrun.filled(path)


def test_what_a_service_sets_is_a_setting_of_its_own() -> None:
    known = {row[0] for row in describe(reference.services()["gateway"])}
    assert "SLUICE_MAX_HELD" in known
    assert "SLUICE_HANDLERS" not in known


# --- GKE ---


def deployment() -> dict[str, Any]:
    return copy.deepcopy(
        next(
            each
            for _, each in gke.written()
            if each["metadata"]["name"] == "sluice-gateway" and each["kind"] == "Deployment"
        )
    )


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    changed = deployment()
    changed["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    assert gke.schema_fault(changed)


def test_an_object_of_ours_that_does_not_fit_is_found() -> None:
    [(_, scaled), *_] = [(place, each) for place, each in gke.written() if each["kind"] == "ScaledObject"]
    changed = copy.deepcopy(scaled)
    assert gke.schema_fault(changed) is None
    changed["spec"]["triggers"][0]["type"] = "gcp-pubsub"
    assert gke.schema_fault(changed)


@pytest.mark.parametrize(("grace", "bad"), [(20, False), (14, True)])
def test_a_grace_that_is_too_short_is_found(monkeypatch: pytest.MonkeyPatch, grace: int, bad: bool) -> None:
    changed = deployment()
    changed["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = grace
    monkeypatch.setattr(gke, "written", lambda: [("file", changed)])
    outcome = gke.pods_have_time_to_drain()
    assert isinstance(outcome, Found)
    assert bool(outcome.faults) is bad


def test_a_way_to_the_internet_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    policies = [(place, copy.deepcopy(each)) for place, each in gke.written() if each["kind"] == "NetworkPolicy"]
    policies[1][1]["spec"]["egress"].append({"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]})
    monkeypatch.setattr(gke, "written", lambda: policies)
    outcome = gke.only_those_who_may_reach_the_internet()
    assert isinstance(outcome, Found)
    assert outcome.faults == ("backends lets pods out to the internet",)


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "2000::/3"])
def test_a_range_that_webhooks_could_reach_is_found(monkeypatch: pytest.MonkeyPatch, cidr: str) -> None:
    policies = [(place, copy.deepcopy(each)) for place, each in gke.written() if each["kind"] == "NetworkPolicy"]
    [endpoints] = [each for _, each in policies if each["metadata"]["name"] == "endpoints"]
    [block] = [to["ipBlock"] for to in endpoints["spec"]["egress"][0]["to"] if to["ipBlock"]["cidr"] == cidr]
    forgotten = block["except"].pop()
    monkeypatch.setattr(gke, "written", lambda: policies)
    outcome = gke.only_those_who_may_reach_the_internet()
    assert isinstance(outcome, Found)
    assert outcome.faults == (f"endpoints lets pods out to {forgotten}",)


WEBHOOKS_POD = {"app.kubernetes.io/name": "sluice-webhooks", "app.kubernetes.io/part-of": "sluice"}


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a policy's selector is of a pod with these labels."""
    has = {"In": True, "NotIn": False}
    return all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items()) and all(
        (labels.get(each["key"]) in each["values"]) is has[each["operator"]]
        for each in selector.get("matchExpressions", [])
    )


def reaches(labels: dict[str, str], address: str, port: int) -> bool:
    """Whether some policy lets a pod with these labels out to there."""
    return any(
        ip_address(address) in ip_network(block["cidr"])
        and not any(ip_address(address) in ip_network(each) for each in block.get("except", []))
        and any(each["port"] <= port <= each.get("endPort", each["port"]) for each in rule["ports"])
        for _, policy in gke.written()
        if policy["kind"] == "NetworkPolicy" and selects(policy["spec"]["podSelector"], labels)
        for rule in policy["spec"].get("egress", [])
        for block in [to["ipBlock"] for to in rule["to"] if "ipBlock" in to]
    )


@pytest.mark.parametrize(
    ("address", "port", "allowed"),
    [
        ("93.184.215.14", 443, True),
        ("93.184.215.14", 8443, True),
        ("2606:2800:21f::1", 443, True),
        ("93.184.215.14", 80, False),
        ("93.184.215.14", 25, False),
        ("10.0.0.3", 6379, False),
        ("172.16.0.1", 443, False),
        ("192.168.0.1", 8443, False),
        ("169.254.169.254", 443, False),
        ("169.254.169.254", 8080, False),
        ("100.64.0.1", 443, False),
        ("fd00::1", 443, False),
        ("fe80::1", 443, False),
    ],
)
def test_what_webhooks_reach_from_the_cluster(address: str, port: int, allowed: bool) -> None:
    assert reaches(WEBHOOKS_POD, address, port) is allowed


def test_who_uses_the_cache_reaches_it_and_not_the_internet() -> None:
    for name in ("sluice-gateway", "sluice-scheduler", "sluice-worker"):
        labels = WEBHOOKS_POD | {"app.kubernetes.io/name": name}
        assert reaches(labels, "10.0.0.3", 6379)
        assert not reaches(labels, "93.184.215.14", 443)


def test_webhooks_have_no_leg_in_the_network_on_cloud_run() -> None:
    manifest = cloudrun.filled(cloudrun.FOLDER / "webhooks.yaml")
    assert manifest["spec"]["template"]["metadata"]["annotations"].keys() == {
        "run.googleapis.com/container-dependencies"
    }


def test_the_alert_on_shards_knows_how_many_there_are() -> None:
    [rule] = [rule for rule in monitoring.rules() if rule["alert"] == "WebhookShardsUnheld"]
    assert rule["expr"] == f"sum(sluice_webhook_shards) < {DELIVERY_SHARDS}"
    [scaler] = [
        each
        for _, each in gke.written()
        if each["kind"] == "HorizontalPodAutoscaler" and each["metadata"]["name"] == "sluice-webhooks"
    ]
    assert scaler["spec"]["maxReplicas"] == DELIVERY_SHARDS


def test_every_queue_has_workers_in_the_cluster_that_scale_on_it() -> None:
    """The folders of `deploy/gke/queues` are of the queues of the topology, and name their subscriptions."""
    known = {each["name"] for each in example()["subscriptions"]}
    folders = sorted(path.parent for path in gke.FOLDER.glob("queues/*/kustomization.yaml"))
    assert [folder.name for folder in folders] == example()["queues"]
    for folder in folders:
        text = (folder / "kustomization.yaml").read_text()
        named = {word for word in text.split() if word.endswith(".worker")}
        assert named <= known
        assert len(named) == 2


# --- dashboards, alerts, compose ---


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("sum(rate(sluice_http_request_total[5m]))", "nothing exposes sluice_http_request_total"),
        ("sum(rate(sluice_http_requests[5m]))", "nothing exposes sluice_http_requests"),
        ('sluice_http_requests_total{code="500"}', "has no label code"),
        ("sum by (queue) (sluice_jobs_running)", "nothing in it has the label queue"),
        ('sluice_jobs_finished_total{outcome="lost"}', "no outcome is called lost"),
        ("up == 0", "nothing exposes up"),
        ("1 + 1", "names no metric"),
        ("sum by (queue) (rate(sluice_claims_total[5m])", "cannot be parsed"),
        ("sluice_jobs_running and on (lane) sluice_claims_total", "nothing in it has the label lane"),
    ],
)
def test_a_query_for_what_does_not_exist_is_found(query: str, says: str) -> None:
    assert any(says in fault for fault in monitoring.query_faults(query))


def test_a_query_for_what_exists_is_fine() -> None:
    query = 'histogram_quantile(0.9, sum by (le, queue) (rate(sluice_job_queue_time_seconds_bucket{queue="a"}[5m])))'
    assert list(monitoring.query_faults(query)) == []


def test_an_alert_without_an_entry_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = next(monitoring.rules())
    monkeypatch.setattr(runbook, "rules", lambda: iter([*monitoring.rules(), {**rule, "alert": "Unheard"}]))
    outcome = runbook.alerts_have_an_entry()
    assert isinstance(outcome, Found)
    assert outcome.faults == ("Unheard: has no entry in docs/operations.md",)


def test_a_metric_that_no_service_keeps_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {name: services for name, services in reference.kept().items() if name != "CLAIMS"}
    monkeypatch.setattr(reference, "kept", lambda: kept)
    outcome = reference.documents_are_as_written()
    assert isinstance(outcome, Found)
    assert "no service keeps the metric CLAIMS" in outcome.faults


def test_the_profile_to_observe_adds_to_compose_and_changes_nothing_without_it() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    added = {name for name, service in services.items() if service.get("profiles") == ["observe"]}
    assert added == {"collector", "prometheus", "grafana"}
    for name, service in services.items():
        assert name in added or not set(service.get("depends_on", {})) & added


@pytest.mark.parametrize(
    ("service", "says"),
    [
        ({"imag": "a"}, "imag"),
        ({"image": "a", "profiles": "observe"}, "profiles"),
        ({"image": "a", "volumes": ["./no/such:/x:ro"]}, "mounts ./no/such"),
        ({"image": "a", "depends_on": ["nobody"]}, "depends on nobody"),
    ],
)
def test_a_bad_service_in_compose_is_found(service: dict[str, Any], says: str) -> None:
    assert any(says in fault for fault in compose.faults({"services": {"bad": service}}))
