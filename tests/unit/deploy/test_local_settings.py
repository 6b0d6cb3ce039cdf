"""What `make run` accepts from the environment, and what it says about the rest."""

import pytest

from deploy.local.errors import SettingError
from deploy.local.settings import EXAMPLE_HANDLERS, DevKey, RunSettings, parse_keys
from shared.models.key import KeyToken

SECRET = "0123456789abcdef"


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = RunSettings.read({})

    assert (settings.port, settings.gateway_processes, settings.worker_processes) == (8080, 1, 1)
    assert settings.all_handlers == EXAMPLE_HANDLERS


def test_without_keys_one_usable_key_is_generated_for_the_development_tenant() -> None:
    (key,) = RunSettings.read({}).keys

    assert key.tenant == "dev"
    assert KeyToken.parse(key.token)
    assert key != RunSettings.read({}).keys[0]


def test_given_keys_are_taken_exactly() -> None:
    text = f"acme:sk_a_{SECRET},globex:sk_b_{SECRET}"

    keys = RunSettings.read({"SLUICE_DEV_KEYS": text}).keys

    assert keys == (DevKey("acme", f"sk_a_{SECRET}"), DevKey("globex", f"sk_b_{SECRET}"))
    assert ",".join(str(key) for key in keys) == text


def test_a_secret_may_hold_underscores() -> None:
    assert DevKey.parse(f"acme:sk_a_{SECRET}_more").token == f"sk_a_{SECRET}_more"


@pytest.mark.parametrize(
    "text",
    [
        "acme",
        f"Acme:sk_a_{SECRET}",
        f":sk_a_{SECRET}",
        "acme:",
        f"acme:{SECRET}",
        "acme:sk_a_",
        f"acme:sk__{SECRET}",
    ],
)
def test_a_malformed_key_is_named_by_its_place_and_never_quoted(text: str) -> None:
    with pytest.raises(SettingError, match="entry 2") as refusal:
        parse_keys((f"acme:sk_ok_{SECRET}", text))

    assert SECRET not in str(refusal.value)


def test_every_malformed_key_is_named() -> None:
    with pytest.raises(SettingError, match=r"(?s)entry 1.*entry 3"):
        parse_keys(("one", f"acme:sk_ok_{SECRET}", "three"))


def test_two_keys_with_one_id_are_refused() -> None:
    with pytest.raises(SettingError, match="same id"):
        parse_keys((f"acme:sk_a_{SECRET}", f"globex:sk_a_{SECRET}"))


def test_handlers_are_added_to_the_examples_once() -> None:
    settings = RunSettings.read({"SLUICE_HANDLERS": f"acme.images:handlers, {EXAMPLE_HANDLERS[0]}"})

    assert settings.all_handlers == (*EXAMPLE_HANDLERS, "acme.images:handlers")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLUICE_PORT", "0"),
        ("SLUICE_PORT", "65536"),
        ("SLUICE_PORT", "http"),
        ("SLUICE_GATEWAY_PROCESSES", "0"),
        ("SLUICE_WORKER_PROCESSES", "-1"),
        ("SLUICE_WORKER_PROCESSES", "1000"),
        ("SLUICE_HANDLERS", "acme.images"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=name):
        RunSettings.read({name: value})


def test_all_values_at_fault_are_named_at_once() -> None:
    with pytest.raises(SettingError, match=r"(?s)SLUICE_PORT.*SLUICE_WORKER_PROCESSES"):
        RunSettings.read({"SLUICE_PORT": "0", "SLUICE_WORKER_PROCESSES": "0"})
