"""A Redis for the cache's contract tests, and the subjects of the suite.

`redis_url` is the session's, shared with all suites and maybe somebody's own: tests on it use job ids of their own and
touch nothing else. `own_redis` belongs to one test, which may flush, freeze and kill it.
"""

import itertools
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from deploy.local.backends import REDIS, Backend, Backends
from deploy.local.find import this_machine
from deploy.local.guard import Guard
from shared.cache.redis.connection import Connection
from tests.contract.cache.cache_subject import HASTY, Subject, connect, memory_subject, redis_subject
from tests.contract.cache.scripted_redis import ScriptedRedis, scripted_redis
from tests.contract.cache.streams_subject import News, memory_news, redis_news
from tests.contract.cache.waiting import back


@pytest.fixture(scope="session")
def redis_url(backends: Backends) -> str:
    return backends.redis.address


@pytest.fixture
async def own_redis(tmp_path: Path) -> AsyncIterator[Backend]:
    async with Guard() as guard:
        backend = Backend(REDIS, "", tmp_path, guard)
        await backend.plan(this_machine())
        await backend.start()
        try:
            yield backend
        finally:
            await backend.stop()


@pytest.fixture(params=["memory", "redis"])
def cache_url(request: pytest.FixtureRequest) -> str:
    """Of the Redis, or nothing for the memory cache, which then needs none."""
    return "" if request.param == "memory" else str(request.getfixturevalue("redis_url"))


@pytest.fixture
async def subject(cache_url: str) -> AsyncIterator[Subject]:
    if not cache_url:
        async with memory_subject() as subject:
            yield subject
    else:
        async with redis_subject(cache_url) as subject:
            yield subject


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedRedis]:
    """A server that answers as the test says."""
    async with scripted_redis() as scripted:
        yield scripted


@pytest.fixture
async def patient(scripted: ScriptedRedis) -> AsyncIterator[Connection]:
    """A connection to it that stands."""
    async with connect(scripted.url) as connection:
        await connection.ping()
        yield connection


@pytest.fixture
async def hasty(scripted: ScriptedRedis) -> AsyncIterator[Connection]:
    """The same, with the deadline of a gateway."""
    async with connect(scripted.url, HASTY) as connection:
        await back(connection.ping)
        yield connection


@pytest.fixture
async def news(cache_url: str) -> AsyncIterator[News]:
    if cache_url:
        async with redis_news(cache_url) as news:
            yield news
    else:
        yield memory_news()


_RUN = os.urandom(6).hex()
_numbers = itertools.count()


@pytest.fixture
def new_job() -> Callable[[], str]:
    """Makes ids that no other test, and no other run on the same Redis, has used."""
    return lambda: f"job_{_RUN}{next(_numbers):06}"


@pytest.fixture
def job(new_job: Callable[[], str]) -> str:
    return new_job()


@pytest.fixture
def gateway(new_job: Callable[[], str]) -> str:
    return f"gw-{new_job()}"
