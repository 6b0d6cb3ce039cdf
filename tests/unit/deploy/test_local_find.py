"""Which way of starting a backend is taken, and what is said when there is none."""

from pathlib import Path

import pytest

from deploy.local.backends import Backends, Given
from deploy.local.errors import MissingError
from deploy.local.find import Tools, find_firestore, find_pubsub, find_redis


def machine(
    *programs: str, java_home: str = "", embedded: Path | None = None, docker: bool = False, folder: str = "/usr/bin"
) -> Tools:
    """A machine with these programs on its PATH and nothing else."""

    async def docker_works() -> bool:
        return docker

    return Tools(
        lambda name: f"{folder}/{name}" if name in programs else None, java_home, lambda: embedded, docker_works
    )


@pytest.fixture
def cloud_cli(tmp_path: Path) -> str:
    """The `bin` folder of a Google Cloud CLI with both emulators, two versions of Pub/Sub's."""
    platform = tmp_path / "google-cloud-sdk" / "platform"
    for jar in (
        "pubsub-emulator/lib/cloud-pubsub-emulator-0.8.19-all.jar",
        "pubsub-emulator/lib/cloud-pubsub-emulator-0.8.20-all.jar",
        "cloud-firestore-emulator/cloud-firestore-emulator.jar",
    ):
        (platform / jar).parent.mkdir(parents=True, exist_ok=True)
        (platform / jar).touch()
    bin_folder = tmp_path / "google-cloud-sdk" / "bin"
    bin_folder.mkdir()
    return str(bin_folder)


async def test_the_installed_emulators_are_run_by_java_itself(cloud_cli: str) -> None:
    tools = machine("gcloud", "java", folder=cloud_cli, docker=True)

    pubsub, firestore = await find_pubsub(tools), await find_firestore(tools)

    assert pubsub.argv(7)[0].endswith("/java")
    assert pubsub.argv(7)[-3].endswith("0.8.20-all.jar")
    assert "--port=7" in pubsub.argv(7)
    assert "--port=7" in firestore.argv(7)
    assert not pubsub.image
    assert not firestore.image


async def test_java_home_goes_before_the_path(cloud_cli: str, tmp_path: Path) -> None:
    java = tmp_path / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.touch()

    launch = await find_pubsub(machine("gcloud", "java", folder=cloud_cli, java_home=str(tmp_path / "jdk")))

    assert launch.argv(7)[0] == str(java)


async def test_docker_is_used_where_the_emulators_are_not_installed() -> None:
    tools = machine("java", docker=True)

    for launch in (await find_pubsub(tools), await find_firestore(tools), await find_redis(tools)):
        assert launch.image
        assert launch.container_port


async def test_an_installed_redis_goes_before_valkey_and_both_before_the_embedded_server() -> None:
    embedded = Path("/wheel/valkey-server")

    assert (await find_redis(machine("redis-server", "valkey-server", embedded=embedded))).via == "redis-server"
    assert (await find_redis(machine("valkey-server", embedded=embedded))).via == "valkey-server"
    assert (await find_redis(machine(embedded=embedded, docker=True))).argv(7)[0] == str(embedded)


@pytest.mark.parametrize(
    ("programs", "found"), [((), "gcloud"), (("gcloud",), "pubsub-emulator"), (("java",), "gcloud")]
)
async def test_a_missing_emulator_is_told_with_every_way_to_get_it(programs: tuple[str, ...], found: str) -> None:
    with pytest.raises(MissingError, match=f"not found: .*{found}") as message:
        await find_pubsub(machine(*programs, folder="/nowhere/bin"))

    for way in ("gcloud components install pubsub-emulator", "Docker", "export PUBSUB_EMULATOR_HOST="):
        assert way in str(message.value)


async def test_the_names_by_which_the_firestore_emulator_is_installed_differ() -> None:
    with pytest.raises(MissingError) as message:
        await find_firestore(machine())

    assert "gcloud components install cloud-firestore-emulator" in str(message.value)
    assert "apt-get install google-cloud-cli-firestore-emulator" in str(message.value)


async def test_missing_java_is_told_where_only_java_is_missing(cloud_cli: str) -> None:
    with pytest.raises(MissingError, match="Java \\(java\\) is not on the PATH"):
        await find_firestore(machine("gcloud", folder=cloud_cli))


async def test_a_missing_redis_is_told_with_every_way_to_get_it() -> None:
    with pytest.raises(MissingError) as message:
        await find_redis(machine())

    for way in ("install redis-server", "Docker", "export REDIS_URL="):
        assert way in str(message.value)


async def test_everything_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"(?s)Pub/Sub emulator.*Firestore emulator.*Redis"):
        async with Backends(tmp_path, tools=machine()):
            pass


async def test_what_the_environment_names_is_not_searched_for(tmp_path: Path) -> None:
    given = Given.read({"PUBSUB_EMULATOR_HOST": "127.0.0.1:1", "REDIS_URL": "redis://127.0.0.1:1/0"})

    with pytest.raises(MissingError) as message:
        async with Backends(tmp_path, given, tools=machine()):
            pass

    assert "Firestore" in str(message.value)
    assert "Redis" not in str(message.value)
