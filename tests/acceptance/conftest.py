"""The composed system, started once; the tests speak only HTTP to it, and stop, kill or freeze its processes.

It is ended with the last of them: idle, it would cost those that follow in the same process a tenth of a core.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from deploy.local.backends import Given
from deploy.local.services import SERVICES
from deploy.local.settings import EXAMPLE_HANDLERS, DevKey
from deploy.local.system import Options, System
from shared.models.key import SCOPES, ApiKey, KeyToken
from shared.storage.firestore import FirestoreDatabase, FirestoreKeys
from tests.acceptance.client import ApiClient
from tests.acceptance.counted import Runs
from tests.acceptance.figures import known
from tests.acceptance.hooking import Hooks
from tests.integration.webhooks.receiver import Receiver, receiving

ACME = DevKey("acme", "sk_acme_0123456789abcdef0123456789abcdef")
FLEET = tuple(each for each in SERVICES if each.name in {"gateway", "worker"})
ONE_PULL = {"SLUICE_PULLS": "1"}
"""Several systems run side by side, and the emulator looks 20 times a second for each pull that listens."""
GLOBEX = DevKey("globex", "sk_globex_fedcba9876543210fedcba9876543210")


@pytest_asyncio.fixture(scope="package")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Its own Redis, for tests kill it; the emulators given, if any are."""
    given = Given(os.environ.get("PUBSUB_EMULATOR_HOST", ""), os.environ.get("FIRESTORE_EMULATOR_HOST", ""))
    options = Options(
        logs=tmp_path_factory.mktemp("system"),
        keys=(ACME, GLOBEX),
        handlers=(*EXAMPLE_HANDLERS, "tests.acceptance.counted:handlers", "tests.acceptance.unruly:handlers"),
        processes={"worker": 2},
        project="acceptance",
        given=given,
        environ={
            "SLUICE_LEASE_SECONDS": "4",
            "SLUICE_HEAD_SECONDS": "2",
            "SLUICE_BODY_SECONDS": "2",
            "SLUICE_WEBHOOKS_ALLOW_LOCAL": "1",
            "SLUICE_RUN_TIMES_SECONDS": "1",
            "SLUICE_TOTAL_SECONDS": "5",
            "SLUICE_CLAIM_SECONDS": "10",
            **ONE_PULL,
        },
    )
    async with System(options) as running:
        yield running


@pytest_asyncio.fixture(scope="package")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=70)) as running:
        yield running


@pytest.fixture(scope="package")
def api(system: System, session: aiohttp.ClientSession) -> ApiClient:
    """As tenant acme."""
    return ApiClient(session, system.base_url, ACME.token)


@pytest.fixture(scope="package")
def foreign(system: System, session: aiohttp.ClientSession) -> ApiClient:
    """As another tenant."""
    return ApiClient(session, system.base_url, GLOBEX.token)


@pytest_asyncio.fixture(scope="package")
async def fleet(system: System, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """A system of its own with four gateways, on the backends of the other: what is seen of several is seen there."""
    options = Options(
        logs=tmp_path_factory.mktemp("fleet"),
        handlers=("tests.acceptance.counted:handlers",),
        keys=(ACME,),
        processes={"gateway": 4, "worker": 2},
        project="acceptance-fleet",
        given=system.backends.given(redis_database=1),
        environ=ONE_PULL,
    )
    async with System(options, services=FLEET) as running:
        yield running


@pytest_asyncio.fixture
async def crowd(fleet: System) -> AsyncIterator[ApiClient]:
    """A client of the fleet with a connection a request: the kernel spreads them over the gateways."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=90)) as session:
        yield ApiClient(session, fleet.base_url, ACME.token)


@pytest_asyncio.fixture(scope="package")
async def hasty(system: System, session: aiohttp.ClientSession) -> ApiClient:
    """As tenant acme, with a key that may ask ten times a second and save up twenty."""
    token = "sk_hasty_00112233445566778899aabbccddeeff"
    parsed = KeyToken.parse(token)
    assert parsed is not None
    key = ApiKey(parsed.id, "acme", parsed.secret_sha256, SCOPES, requests_per_second=10, burst=20)
    async with FirestoreDatabase(system.options.project, system.backends.firestore.address) as database:
        await FirestoreKeys(database).put(key)
    return ApiClient(session, system.base_url, token)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """A new piece of work, whose runs are counted."""
    return Runs(tmp_path / "runs")


@pytest.fixture
async def figures(api: ApiClient) -> None:
    """The lanes' figures are known: a test before may have lost Redis."""
    for queue in ("default", "images"):
        await known(api, queue)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A server of a tenant's own."""
    async with receiving() as running:
        yield running


@pytest.fixture
async def hooks(api: ApiClient) -> AsyncIterator[Hooks]:
    running = Hooks(api, [])
    yield running
    for id in running.made:
        await api.request("DELETE", f"/v1/webhooks/{id}")
