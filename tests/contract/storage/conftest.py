"""The subjects of the storage suite, and the Firestore emulator that the session's backends run."""

from collections.abc import AsyncIterator

import pytest

from deploy.local.backends import Backends
from tests.contract.storage.scripted_firestore import ScriptedFirestore
from tests.contract.storage.storage_subject import Subject, firestore_subject, memory_subject


@pytest.fixture(scope="session")
def firestore_address(backends: Backends) -> str:
    """`host:port`."""
    return backends.firestore.address


@pytest.fixture(params=["memory", "firestore"])
def store_address(request: pytest.FixtureRequest) -> str:
    """The emulator's address, or nothing for the memory store, which then needs no emulator."""
    return "" if request.param == "memory" else str(request.getfixturevalue("firestore_address"))


@pytest.fixture
async def subject(store_address: str) -> AsyncIterator[Subject]:
    if store_address:
        async with firestore_subject(store_address) as subject:
            yield subject
    else:
        yield memory_subject()


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedFirestore]:
    async with ScriptedFirestore() as server:
        yield server
