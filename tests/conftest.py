"""What every suite shares: uvloop, and one set of real backends a session, started when the first test asks for it."""

import os
from collections.abc import AsyncIterator, Mapping
from typing import Any

import hypothesis
import pytest
import pytest_asyncio
import uvloop

from deploy.local.backends import Backends, Given

# The same examples in every run: a run that fails, fails again. `--hypothesis-profile=default` explores further.
# Machines that run many things at once are slow at times; that says nothing of the code.
hypothesis.settings.register_profile(
    "sluice", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("sluice")


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Any]:
    """The loop that the services run on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Side by side, the tests of one file stay together: they share what they start."""
    for item in items:
        if "acceptance" not in item.path.parts:
            item.add_marker(pytest.mark.xdist_group(str(item.path)))


@pytest_asyncio.fixture(scope="session")
async def backends(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backends]:
    """The real Pub/Sub and Firestore emulators and Redis, as `make run` finds them. Keep tests apart by names."""
    async with Backends(tmp_path_factory.mktemp("backends"), Given.read(os.environ)) as running:
        yield running
