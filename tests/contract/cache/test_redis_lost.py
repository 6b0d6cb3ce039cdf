"""Redis killed, frozen, absent: calls fail in time, nothing is mixed up, and everything comes back by itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from deploy.local.backends import Backend
from deploy.local.process import ChildProcess
from shared.cache.redis.connection import RETRY_SECONDS, SILENCE_SECONDS
from shared.cache.redis.snapshots import RedisSnapshots
from shared.errors import CacheUnavailable
from tests.contract.cache.cache_subject import HASTY, connect, state
from tests.contract.cache.waiting import back, soon, unavailable, until

SLACK = 0.3
"""What a busy machine may add."""
BACK_WITHIN = 1.0
NewJob = Callable[[], str]


@pytest.fixture
def server(own_redis: Backend) -> ChildProcess:
    assert own_redis.process is not None
    return own_redis.process


@asynccontextmanager
async def attentive() -> AsyncIterator[list[float]]:
    """The gaps in which the loop did nothing for us, in seconds."""
    loop, gaps = asyncio.get_running_loop(), [0.0]

    async def tick() -> None:
        last = loop.time()
        while True:
            await asyncio.sleep(0.002)
            gaps.append(loop.time() - last)
            last = loop.time()

    ticking = asyncio.create_task(tick())
    try:
        yield gaps
    finally:
        ticking.cancel()


async def test_killed_and_started_again(own_redis: Backend, server: ChildProcess, new_job: NewJob) -> None:
    loop, job = asyncio.get_running_loop(), new_job()
    async with connect(own_redis.address, HASTY) as connection:
        snapshots = RedisSnapshots(connection)
        await back(connection.ping)
        await snapshots.tell(state(job, 1))
        await server.kill()
        async with attentive() as gaps:
            began = loop.time()
            for _ in range(200):
                await unavailable(snapshots.fetch(job))
            took = loop.time() - began
        assert took < 200 * HASTY / 4, "known to be lost, it refuses at once"
        assert max(gaps) < SLACK
        await server.start()
        await back(connection.ping, within=BACK_WITHIN)
        assert await snapshots.fetch(job) is None
        await snapshots.tell(state(job, 2))
        assert await snapshots.fetch(job) == state(job, 2)


async def test_killed_among_many_calls(own_redis: Backend, server: ChildProcess, new_job: NewJob) -> None:
    """Each call ends, as an answer that is right or as CacheUnavailable."""
    jobs = [new_job() for _ in range(50)]
    async with connect(own_redis.address, HASTY) as connection:
        snapshots = RedisSnapshots(connection)
        await back(connection.ping)
        outcomes: dict[str, int] = {"right": 0, "refused": 0}
        over = asyncio.Event()

        async def use(job: str) -> None:
            order = 0
            while not over.is_set():
                order += 1
                try:
                    await snapshots.tell(state(job, order, body=b"%b %d" % (job.encode(), order)))
                    found = await snapshots.fetch(job)
                except CacheUnavailable:
                    outcomes["refused"] += 1
                    await asyncio.sleep(0.002)
                else:
                    assert found is None or found.body == b"%b %d" % (job.encode(), found.order)
                    outcomes["right"] += 1

        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(use(job))
            for _ in range(3):
                await grows(outcomes, "right", by=200)
                await server.kill()
                await grows(outcomes, "refused", by=50)
                await server.start()
            await grows(outcomes, "right", by=200)
            over.set()


async def test_frozen_for_a_moment(own_redis: Backend, server: ChildProcess, new_job: NewJob) -> None:
    """Shorter than the connection is given up for: the replies come late, each to its own place."""
    jobs = [new_job() for _ in range(20)]
    async with connect(own_redis.address, HASTY) as connection:
        snapshots = RedisSnapshots(connection)
        await back(connection.ping)
        await asyncio.gather(*(snapshots.tell(state(job, 1)) for job in jobs))
        for _ in range(5):
            await server.freeze()
            given_up = asyncio.gather(*(snapshots.fetch(job) for job in jobs[:10]), return_exceptions=True)
            assert all(isinstance(outcome, CacheUnavailable) for outcome in await given_up)
            await server.thaw()
            found = await asyncio.gather(*(snapshots.fetch(job) for job in jobs), return_exceptions=True)
            for job, outcome in zip(jobs, found, strict=True):
                assert outcome == state(job, 1) or isinstance(outcome, CacheUnavailable)
            await back(connection.ping, within=BACK_WITHIN)


async def test_frozen_for_long(own_redis: Backend, server: ChildProcess, new_job: NewJob) -> None:
    loop, jobs = asyncio.get_running_loop(), [new_job() for _ in range(20)]
    async with connect(own_redis.address, HASTY) as connection:
        snapshots = RedisSnapshots(connection)
        await back(connection.ping)
        await asyncio.gather(*(snapshots.tell(state(job, 1)) for job in jobs))
        await server.freeze()
        async with attentive() as gaps:
            began, longest = loop.time(), 0.0
            while loop.time() - began < 3 * SILENCE_SECONDS + max(RETRY_SECONDS):  # past a failed attempt to reconnect
                asked = loop.time()
                await asyncio.gather(*(unavailable(snapshots.fetch(job)) for job in jobs))
                longest = max(longest, loop.time() - asked)
                await asyncio.sleep(0.01)
        assert longest < HASTY + SLACK
        assert max(gaps) < SLACK
        await server.thaw()
        await back(connection.ping, within=BACK_WITHIN)
        assert await asyncio.gather(*(snapshots.fetch(job) for job in jobs)) == [state(job, 1) for job in jobs]


async def test_absent_at_the_start(own_redis: Backend, server: ChildProcess, job: str) -> None:
    await server.kill()
    async with connect(own_redis.address, HASTY) as connection:
        await unavailable(connection.ping())
        await unavailable(RedisSnapshots(connection).tell(state(job, 1)))
        await server.start()
        await back(connection.ping, within=BACK_WITHIN)


async def test_a_first_call_waits_for_the_first_connection(redis_url: str) -> None:
    async with connect(redis_url) as connection:
        await connection.ping()


async def test_a_name_that_does_not_resolve_is_refused(job: str) -> None:
    async with connect("redis://nowhere.invalid:6379") as connection:
        assert "cannot be reached" in await unavailable(RedisSnapshots(connection).fetch(job))


async def test_a_lost_listener_ends_and_can_listen_again(
    own_redis: Backend, server: ChildProcess, new_job: NewJob, gateway: str
) -> None:
    before, after = new_job(), new_job()
    async with connect(own_redis.address) as connection:
        snapshots = RedisSnapshots(connection)
        async with snapshots.listen(gateway) as heard:
            await snapshots.watch(gateway, [before])
            await snapshots.tell(state(before, 1))
            assert await soon(anext(heard)) == state(before, 1)
            await server.kill()
            for _ in range(2):
                await unavailable(soon(anext(heard)))
        with pytest.raises(CacheUnavailable):
            async with snapshots.listen(gateway):
                pytest.fail("there is nothing to listen to")
        await server.start()
        await back(connection.ping, within=BACK_WITHIN)
        async with snapshots.listen(gateway) as heard:
            await snapshots.watch(gateway, [after])
            await snapshots.tell(state(after, 1))
            assert await soon(anext(heard)) == state(after, 1)


async def grows(counts: dict[str, int], what: str, by: int) -> None:
    goal = counts[what] + by
    await until(lambda: counts[what] >= goal)
