"""Systems to be hurt: one for most tests, behind fault proxies; its Redis is its own, for tests flush and kill it."""

import os
import secrets
from collections.abc import AsyncIterator
from random import Random

import pytest
import pytest_asyncio

from deploy.local.backends import Backends, Given
from tests.chaos.arena import Arena, arena
from tests.chaos.trial import Trial

Words = list[str]
"""What a test has to say at the end of the run, whether it passed or not."""

_SEED = pytest.StashKey[str]()
_WORDS = pytest.StashKey[dict[str, Words]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chaos-seed", help="repeat the choices of an earlier run of tests/chaos, which printed its seed")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_SEED] = (
        config.getoption("--chaos-seed") or os.environ.get("SLUICE_CHAOS_SEED") or secrets.token_hex(4)
    )
    config.stash[_WORDS] = {}


def pytest_report_header(config: pytest.Config) -> str:
    return f"chaos seed: {config.stash[_SEED]} (again with --chaos-seed={config.stash[_SEED]})"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for test, words in config.stash[_WORDS].items():
        terminalreporter.section(f"{test}, seed {config.stash[_SEED]}")
        terminalreporter.write_line("\n".join(words))


@pytest.fixture
def words(request: pytest.FixtureRequest) -> Words:
    """Evidence to be shown with the results."""
    return request.config.stash[_WORDS].setdefault(request.node.name, [])


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> Random:
    """Of this test's choices: the same for the same seed, whatever other tests run."""
    return Random(f"{request.config.stash[_SEED]} {request.node.name}")


@pytest_asyncio.fixture(scope="session")
async def backends(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backends]:
    """The emulators, given ones if there are; a Redis of our own."""
    given = Given(os.environ.get("PUBSUB_EMULATOR_HOST", ""), os.environ.get("FIRESTORE_EMULATOR_HOST", ""))
    async with Backends(tmp_path_factory.mktemp("backends"), given) as running:
        yield running


@pytest_asyncio.fixture(scope="session")
async def shared_arena(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Arena]:
    """Two of each service, the workers with crash points."""
    async with arena(backends, tmp_path_factory.mktemp("arena"), "chaos") as place:
        yield place


@pytest_asyncio.fixture
async def place(shared_arena: Arena) -> AsyncIterator[Arena]:
    """The shared arena, well before the test and after it."""
    await shared_arena.heal()
    yield shared_arena
    await shared_arena.heal()


@pytest.fixture
def trial(place: Arena) -> Trial:
    """A run of its own in the shared arena."""
    return Trial(place)
