"""A network that fails between us and the emulator: nobody there, silence, lost replies, cut connections."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from deploy.local.ports import choose_port
from shared.errors import CommitUnknown, StoreUnavailable
from shared.storage.contract import Version
from shared.storage.firestore import (
    FirestoreCatalogue,
    FirestoreDatabase,
    FirestoreJobs,
    FirestoreKeys,
    FirestoreTimers,
    Limits,
)
from tests.contract.storage.connecting import start
from tests.contract.storage.faulty_proxy import FaultyProxy
from tests.contract.storage.samples import new_entry, new_id, new_timer, running
from tests.contract.storage.storage_subject import new_project

SHORT = Limits(deadline_seconds=0.5)
LONG = Limits(deadline_seconds=20.0)


@pytest.fixture
async def proxy(firestore_address: str) -> AsyncIterator[FaultyProxy]:
    async with FaultyProxy(firestore_address) as proxy:
        yield proxy


@pytest.fixture
def project() -> str:
    return new_project()


@pytest.fixture
async def direct(firestore_address: str, project: str) -> AsyncIterator[FirestoreJobs]:
    """The same documents without the proxy."""
    async with FirestoreDatabase(project, firestore_address, limits=LONG) as database:
        yield FirestoreJobs(database)


async def until_written(jobs: FirestoreJobs, id: str) -> None:
    async with asyncio.timeout(20):
        while await jobs.read(id) is None:
            pass


async def all_fail_unwritten(database: FirestoreDatabase) -> None:
    jobs, held = FirestoreJobs(database), Version(1)
    calls = [
        jobs.read(new_id()),
        jobs.create(running()),
        jobs.update(running(), held),
        jobs.update_with_timer(running(), held, new_timer()),
        FirestoreTimers(database).due([1], until=1, limit=1),
        FirestoreCatalogue(database).announce([new_entry("a")]),
        FirestoreCatalogue(database).entries(),
        FirestoreKeys(database).find("k1"),
        database.ping(),
    ]
    started = time.monotonic()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable] * len(calls)
    assert time.monotonic() - started < 10 * SHORT.deadline_seconds


async def test_nobody_listens() -> None:
    async with FirestoreDatabase("none", f"127.0.0.1:{choose_port()}", limits=SHORT) as database:
        await all_fail_unwritten(database)


async def test_somebody_listens_who_never_answers() -> None:
    held: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with FirestoreDatabase("none", f"127.0.0.1:{port}", limits=SHORT) as database:
        await all_fail_unwritten(database)
    for writer in held:
        writer.transport.abort()
    silent.close()
    await silent.wait_closed()


async def test_a_store_that_comes_late_is_found(firestore_address: str) -> None:
    port = choose_port()
    async with FirestoreDatabase(new_project(), f"127.0.0.1:{port}", limits=LONG) as database:
        [waiting] = start([FirestoreJobs(database).create(running())])
        async with FaultyProxy(firestore_address, port):
            assert isinstance(await waiting, Version)


async def test_what_expired_while_there_was_no_connection_is_never_written(
    firestore_address: str, project: str, direct: FirestoreJobs
) -> None:
    """Its caller was told that nothing was written."""
    port = choose_port()
    async with FirestoreDatabase(project, f"127.0.0.1:{port}", limits=SHORT) as database:
        job = running()
        with pytest.raises(StoreUnavailable):
            await FirestoreJobs(database).create(job)
        async with FaultyProxy(firestore_address, port), asyncio.timeout(20):
            while not await _answers(database):
                pass
            assert await direct.read(job.spec.id) is None


async def test_what_was_given_up_while_there_was_no_connection_is_never_written(firestore_address: str) -> None:
    port = choose_port()
    async with FirestoreDatabase(new_project(), f"127.0.0.1:{port}", limits=LONG) as database:
        jobs, given_up, stays = FirestoreJobs(database), running(), running()
        leaving, staying = start([jobs.create(given_up), jobs.create(stays)])
        for _ in range(5):  # turns of the loop, for both to be taken for one request
            await asyncio.sleep(0)
        leaving.cancel()
        async with FaultyProxy(firestore_address, port):
            assert isinstance(await staying, Version)
            assert isinstance(await jobs.create(given_up), Version)


async def test_a_lost_reply_leaves_the_write_unknown(proxy: FaultyProxy, project: str, direct: FirestoreJobs) -> None:
    async with FirestoreDatabase(project, proxy.address, limits=Limits(deadline_seconds=1.5)) as database:
        jobs, job = FirestoreJobs(database), running()
        await database.ping()
        proxy.lose_replies = True
        [waiting] = start([jobs.create(job)])
        await until_written(direct, job.spec.id)
        with pytest.raises(CommitUnknown):
            await waiting
        proxy.cut()
    found = await direct.read(job.spec.id)
    assert found is not None
    assert found.value == job


async def test_a_lost_reply_leaves_the_commit_unknown(proxy: FaultyProxy, project: str, direct: FirestoreJobs) -> None:
    async with FirestoreDatabase(project, proxy.address, limits=Limits(deadline_seconds=1.5)) as database:
        jobs, job = FirestoreJobs(database), running()
        held = await jobs.create(job)
        assert isinstance(held, Version)
        proxy.lose_replies = True
        with pytest.raises(CommitUnknown):
            await jobs.update_with_timer(job.succeeded(b"1", at=1), held, new_timer())
        proxy.cut()
    found = await direct.read(job.spec.id)
    assert found is not None
    assert found.value == job.succeeded(b"1", at=1)


async def test_a_write_cut_off_after_it_was_applied_is_unknown(
    proxy: FaultyProxy, project: str, direct: FirestoreJobs
) -> None:
    """It is sent again over a new connection, and meets itself."""
    async with FirestoreDatabase(project, proxy.address, limits=LONG) as database:
        jobs, job = FirestoreJobs(database), running()
        await database.ping()
        proxy.lose_replies = True
        [waiting] = start([jobs.create(job)])
        await until_written(direct, job.spec.id)
        proxy.cut()
        with pytest.raises(CommitUnknown):
            await waiting


async def test_a_write_cut_off_before_it_arrived_is_applied_after_all(proxy: FaultyProxy, project: str) -> None:
    async with FirestoreDatabase(project, proxy.address, limits=LONG) as database:
        jobs = FirestoreJobs(database)
        await database.ping()
        proxy.lose_requests = True
        waiting = start([jobs.create(running()), jobs.read(new_id()), database.ping()])
        await proxy.lost_something()
        proxy.cut()
        created, read, _ = await asyncio.gather(*waiting)
        assert isinstance(created, Version)
        assert read is None


async def test_reads_fail_in_silence_and_recover(proxy: FaultyProxy, project: str) -> None:
    async with FirestoreDatabase(project, proxy.address, limits=SHORT) as database:
        await database.ping()
        proxy.lose_replies = True
        with pytest.raises(StoreUnavailable):
            await database.ping()
        proxy.cut()
        async with asyncio.timeout(20):
            while not await _answers(database):
                pass


async def _answers(database: FirestoreDatabase) -> bool:
    try:
        await database.ping()
    except StoreUnavailable:
        return False
    return True
