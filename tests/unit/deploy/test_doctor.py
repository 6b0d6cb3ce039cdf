"""What the doctor makes of what it sees: settings, indexes, expiry, the queues' figures."""

import dataclasses
import json
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.admin.doctor import settings as examined
from deploy.admin.doctor.finding import State
from deploy.admin.doctor.flow import examine_lanes
from deploy.admin.doctor.store import INDEXES, Index, index_of, missing_expiry, missing_indexes
from deploy.admin.settings import Settings
from deploy.checks.report import ROOT
from shared.config import Secret

REAL = Settings(
    project="acme",
    redis_url="rediss://10.0.0.1:6379/0",
    id_keys=Secret(f"1:{'ab' * 32}"),
    webhook_keys=Secret(f"1:{'ef' * 32}"),
)
DECLARED = json.loads(INDEXES.read_text())


def states(settings: Settings) -> dict[str, State]:
    return {finding.about: finding.state for finding in examined.examine(settings)}


def test_settings_of_a_deployment_are_fine() -> None:
    assert {about: state for about, state in states(REAL).items() if state is State.FAULT} == {}


@pytest.mark.parametrize(
    ("changed", "about"),
    [
        ({"project": "sluice-local"}, "SLUICE_PROJECT"),
        ({"pubsub_emulator": "127.0.0.1:1"}, "emulators"),
        ({"dev_keys": Secret("dev:sk_dev_secret")}, "SLUICE_DEV_KEYS"),
    ],
)
def test_settings_of_development_are_a_fault_on_the_real_service(changed: dict[str, Any], about: str) -> None:
    assert states(dataclasses.replace(REAL, **changed))[about] is State.FAULT


@pytest.mark.parametrize(
    ("field", "variable"), [("id_keys", "SLUICE_ID_KEYS"), ("webhook_keys", "SLUICE_WEBHOOK_KEYS")]
)
def test_the_key_that_everybody_knows_is_a_fault_on_the_real_service(field: str, variable: str) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    known = {field: Secret(text.split(f"{variable}:-")[1].split("}")[0])}
    real = dataclasses.replace(REAL, **known)  # type: ignore[arg-type]  # a field of the settings
    assert states(real)[variable] is State.FAULT
    local = dataclasses.replace(real, pubsub_emulator="a:1", firestore_emulator="a:2")
    assert states(local)[variable] is State.OK


def ready() -> dict[Index, str]:
    """Every declared index, as the service describes one that is ready."""
    found = {}
    for each in DECLARED["indexes"]:
        fields = [
            SimpleNamespace(
                field_path=field["fieldPath"],
                array_config=SimpleNamespace(name=field["arrayConfig"]) if "arrayConfig" in field else None,
                order=SimpleNamespace(name=field.get("order")),
            )
            for field in each["fields"]
        ]
        fields.append(
            SimpleNamespace(field_path="__name__", array_config=None, order=SimpleNamespace(name="DESCENDING"))
        )
        name = f"projects/p/databases/(default)/collectionGroups/{each['collectionGroup']}/indexes/x"
        found[index_of(name, fields)] = "READY"
    return found


def test_indexes_that_are_missing_or_being_built_are_named() -> None:
    there = ready()
    assert missing_indexes(DECLARED["indexes"], there).state is State.OK
    one, other, *_ = there
    there[one] = "CREATING"
    del there[other]
    found = missing_indexes(DECLARED["indexes"], there)
    assert found.state is State.FAULT
    assert found.detail.count(";") == 1


def test_expiry_that_is_off_is_named() -> None:
    wanted = {(each["collectionGroup"], each["fieldPath"]) for each in DECLARED["fieldOverrides"] if each.get("ttl")}
    assert missing_expiry(DECLARED["fieldOverrides"], wanted).state is State.OK
    found = missing_expiry(DECLARED["fieldOverrides"], wanted - {("jobs", "expire_at")})
    assert (found.state, "jobs.expire_at" in found.detail) == (State.FAULT, True)


def lane(**figures: Any) -> dict[str, Any]:
    known = {"backlog": 0, "oldest_age_seconds": 0.0, "workers": 1, "paused": False, "paused_at": None}
    return {"name": "default", "lane": "interactive", **known, **figures}


@pytest.mark.parametrize(
    ("figures", "state"),
    [
        ({}, State.OK),
        ({"backlog": 9, "oldest_age_seconds": 10.0}, State.OK),
        ({"backlog": 9, "oldest_age_seconds": 400.0}, State.FAULT),
        ({"backlog": 0, "oldest_age_seconds": 400.0}, State.OK),
        ({"backlog": 9, "oldest_age_seconds": 400.0, "paused": True, "paused_at": "then"}, State.WARNING),
        ({"workers": 0}, State.FAULT),
        ({"workers": None, "backlog": None, "oldest_age_seconds": None}, State.SKIPPED),
    ],
)
def test_what_is_made_of_a_lane(figures: dict[str, Any], state: State) -> None:
    assert next(iter(examine_lanes([lane(**figures)]))).state is state
