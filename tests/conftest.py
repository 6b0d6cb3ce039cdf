"""What every suite shares: uvloop, and one set of real backends a session, started when the first test asks for it."""

import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import pytest_asyncio
import uvloop
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from deploy.local.backends import Backends, Given
from tests.integration.deploy.admin_process import Terminal

# The same examples in every run: a run that fails, fails again. `--hypothesis-profile=default` explores further.
# Machines that run many things at once are slow at times; that says nothing of the code.
hypothesis.settings.register_profile(
    "sluice", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("sluice")


_SHARED = "SLUICE_TEST_BACKENDS"
"""For test processes that run side by side: where their emulators are, as JSON."""
_shared = pytest.StashKey[tuple[subprocess.Popen[str], tempfile.TemporaryDirectory[str]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the emulators once, before the processes that will run the tests."""
    if not getattr(config.option, "numprocesses", None) or hasattr(config, "workerinput"):
        return
    logs = tempfile.TemporaryDirectory(prefix="sluice-backends-")
    command = (sys.executable, "-m", "tests.shared_backends", logs.name)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    config.stash[_shared] = process, logs
    assert process.stdout is not None
    os.environ[_SHARED] = process.stdout.readline()


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """What is collected lives to the end: looking through it for garbage again and again would find none."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()
    gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    if _shared in config.stash:
        process, logs = config.stash[_shared]
        process.communicate()
        logs.cleanup()


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Any]:
    """The loop that the services run on."""
    return {"uvloop": uvloop.new_event_loop}


ACCEPTANCE = {
    "fleet": {
        "test_cache.py",
        "test_delete.py",
        "test_events.py",
        "test_idempotency.py",
        "test_webhook_faults.py",
        "test_webhooks.py",
    },
    "faults": {
        "test_cancel.py",
        "test_faults.py",
        "test_limits.py",
        "test_operators.py",
        "test_push.py",
        "test_replay.py",
    },
}
"""Files that share a system of their own; all others share another. Those of `fleet` need the fleet beside it."""


class Together(LoadScopeScheduling):  # type: ignore[misc]  # xdist is not typed
    """Side by side, the tests of one file stay together: they share what they start. Acceptance tests share more."""

    def _split_scope(self, nodeid: str) -> str:
        file = Path(nodeid.split("::", 1)[0])
        if file.parent.name != "acceptance":
            return str(file)
        return next((name for name, files in ACCEPTANCE.items() if file.name in files), "acceptance")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    return Together(config, log)


@pytest_asyncio.fixture(scope="session")
async def backends(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backends]:
    """The real Pub/Sub and Firestore emulators and Redis, as `make run` finds them. Keep tests apart by names."""
    shared = json.loads(os.environ.get(_SHARED) or "{}")
    async with Backends(tmp_path_factory.mktemp("backends"), Given.read({**os.environ, **shared})) as running:
        yield running


@pytest.fixture(scope="session")
def terminal() -> Iterator[Terminal]:
    """Where `sluice-admin` is run."""
    with Terminal() as running:
        yield running
