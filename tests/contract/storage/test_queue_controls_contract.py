"""QueueControls, on every store: written whole, read together."""

from collections.abc import AsyncIterator

import pytest

from shared.clock import SystemClock
from shared.models.queue import QueueControl
from shared.storage.contract import QueueControls
from shared.storage.firestore import FirestoreDatabase, FirestoreQueueControls
from shared.storage.memory import MemoryDatabase, MemoryQueueControls
from tests.contract.storage.samples import AT
from tests.contract.storage.storage_subject import PATIENT, new_project


@pytest.fixture
async def controls(store_address: str) -> AsyncIterator[QueueControls]:
    if not store_address:
        yield MemoryQueueControls(MemoryDatabase(SystemClock()))
        return
    async with FirestoreDatabase(new_project(), store_address, limits=PATIENT) as database:
        yield FirestoreQueueControls(database)


async def test_nothing_was_said_of_any_queue(controls: QueueControls) -> None:
    assert list(await controls.all()) == []


async def test_what_was_said_is_read_by_name(controls: QueueControls) -> None:
    said = [QueueControl("texts", AT), QueueControl("images"), QueueControl("a-b.c", AT + 1)]
    for each in said:
        await controls.put(each)
    assert list(await controls.all()) == sorted(said, key=lambda each: each.name)


async def test_the_last_word_counts(controls: QueueControls) -> None:
    await controls.put(QueueControl("texts", AT))
    await controls.put(QueueControl("texts"))
    assert list(await controls.all()) == [QueueControl("texts")]
    await controls.put(QueueControl("texts", AT + 5))
    assert list(await controls.all()) == [QueueControl("texts", AT + 5)]
