"""A Redis for the cache's contract tests, and the subjects of the suite.

`redis_url` is shared and may be somebody's own (REDIS_URL): tests on it use job ids of their own and touch nothing
else. `own_redis` belongs to one test, which may flush, freeze and kill it.
"""

import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.local.backends import REDIS, Backend
from deploy.local.find import this_machine
from deploy.local.guard import Guard
from tests.contract.cache.cache_subject import Subject, memory_subject, redis_subject


@asynccontextmanager
async def _running(given: str, logs: Path) -> AsyncIterator[Backend]:
    async with Guard() as guard:
        backend = Backend(REDIS, given, logs, guard)
        await backend.plan(this_machine())
        await backend.start()
        try:
            yield backend
        finally:
            await backend.stop()


@pytest.fixture(scope="session")
async def redis_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with _running(os.environ.get("REDIS_URL", ""), tmp_path_factory.mktemp("redis")) as backend:
        yield backend.address


@pytest.fixture
async def own_redis(tmp_path: Path) -> AsyncIterator[Backend]:
    async with _running("", tmp_path) as backend:
        yield backend


@pytest.fixture(params=["memory", "redis"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "memory":
        async with memory_subject() as subject:
            yield subject
    else:
        async with redis_subject(request.getfixturevalue("redis_url")) as subject:
            yield subject


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
