"""The composed system, started once; the tests speak only HTTP to it, and stop, kill or freeze its processes."""

import os
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from deploy.local.backends import Given
from deploy.local.settings import DevKey
from deploy.local.system import Options, System
from tests.acceptance.client import ApiClient

ACME = DevKey("acme", "sk_acme_0123456789abcdef0123456789abcdef")
GLOBEX = DevKey("globex", "sk_globex_fedcba9876543210fedcba9876543210")


@pytest_asyncio.fixture(scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Its own Redis, for tests kill it; the emulators given, if any are."""
    given = Given(os.environ.get("PUBSUB_EMULATOR_HOST", ""), os.environ.get("FIRESTORE_EMULATOR_HOST", ""))
    options = Options(
        logs=tmp_path_factory.mktemp("system"),
        keys=(ACME, GLOBEX),
        processes={"worker": 2},
        project="acceptance",
        given=given,
        environ={"SLUICE_LEASE_SECONDS": "4"},
    )
    async with System(options) as running:
        yield running


@pytest_asyncio.fixture(scope="session")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=70)) as running:
        yield running


@pytest.fixture(scope="session")
def api(system: System, session: aiohttp.ClientSession) -> ApiClient:
    """As tenant acme."""
    return ApiClient(session, system.base_url, ACME.token)


@pytest.fixture(scope="session")
def foreign(system: System, session: aiohttp.ClientSession) -> ApiClient:
    """As another tenant."""
    return ApiClient(session, system.base_url, GLOBEX.token)
