"""The places that name every service agree: the table that `make run` starts, the images, compose and the libraries."""

import re
import tomllib
from pathlib import Path

import pytest

from deploy.local.find import EMULATOR_IMAGE, REDIS_IMAGE
from deploy.local.services import SERVICES, ServiceSpec
from deploy.local.settings import EXAMPLE_HANDLERS, DevKey

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = (ROOT / "deploy/docker/Dockerfile").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()
NAMES = [spec.name for spec in SERVICES]


def stage(name: str) -> str:
    """The lines of one stage of the Dockerfile."""
    match = re.search(rf"^FROM \S+ AS service-{name}\n(.*?)^FROM ", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert match
    return match[1]


@pytest.mark.parametrize("spec", SERVICES, ids=NAMES)
def test_a_service_has_an_image_that_runs_its_module(spec: ServiceSpec) -> None:
    assert f'CMD ["python3", "-m", "{spec.module}"]' in stage(spec.name)


@pytest.mark.parametrize("name", NAMES)
def test_a_service_runs_in_compose(name: str) -> None:
    service = rf"^  {name}:\n(?:    .*\n)*?    image: sluice-{name}\n(?:    .*\n)*?        SERVICE: {name}\n"

    assert re.search(service, COMPOSE, re.MULTILINE)


@pytest.mark.parametrize("name", [*NAMES, "admin"])
def test_an_image_has_a_group_of_libraries(name: str) -> None:
    assert name in tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]


@pytest.mark.parametrize("spec", SERVICES, ids=NAMES)
def test_what_a_service_needs_is_in_the_table(spec: ServiceSpec) -> None:
    assert set(spec.needs) <= set(NAMES)


def test_images_run_without_root_and_are_checked() -> None:
    final = DOCKERFILE[DOCKERFILE.index("FROM service-${SERVICE}") :]

    assert final.rstrip().endswith("USER sluice")
    assert "HEALTHCHECK" in DOCKERFILE


def test_compose_and_make_run_use_the_same_images_and_handlers() -> None:
    assert f"image: {EMULATOR_IMAGE}\n" in COMPOSE
    assert f"image: {REDIS_IMAGE}\n" in COMPOSE
    assert ",".join(EXAMPLE_HANDLERS) in COMPOSE


def test_the_development_key_of_compose_is_one() -> None:
    text = re.search(r"SLUICE_DEV_KEYS:-(\S+)}", COMPOSE)

    assert text
    assert DevKey.parse(text[1]).tenant == "dev"
