"""arq: `enqueue_job`, and `Job.result`, which polls. Its worker polls as well, so often that this does not bound it.

The worker: `arq tests.load.peers.queues.arq.Worker --custom-log-dict tests.load.peers.queues.arq.QUIET`, for it would
log every job twice otherwise.
"""

# mypy: disable-error-code="import-not-found"
# The rivals may be missing where this is checked.

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from arq import ArqRedis, create_pool, func
from arq.connections import RedisSettings
from arq.jobs import Job, ResultNotFound

from tests.load.peers.queues.contract import (
    AT_ONCE,
    HANDLER,
    KEEP_SECONDS,
    LOOK_SECONDS,
    REDIS_URL,
    UnfinishedError,
    UnknownJobError,
)

QUIET: Final = {"version": 1, "disable_existing_loggers": False}


async def echo(context: dict[str, Any], input: dict[str, Any]) -> dict[str, Any]:
    return input


class Worker:
    """Settings, by the names that arq looks for. It polls every 0.5 s unless told otherwise."""

    redis_settings = RedisSettings.from_dsn(REDIS_URL)
    functions = (func(echo, name=HANDLER),)
    max_jobs = AT_ONCE
    poll_delay = 0.01
    keep_result = KEEP_SECONDS


class Front:
    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis

    async def submit(self, id: str, handler: str, input: dict[str, Any]) -> None:
        await self._redis.enqueue_job(handler, input, _job_id=id)

    async def output(self, id: str, seconds: float) -> Any:
        try:
            return await Job(id, self._redis).result(seconds, poll_delay=LOOK_SECONDS)
        except TimeoutError:
            raise UnfinishedError(id) from None
        except ResultNotFound:
            raise UnknownJobError(id) from None


@asynccontextmanager
async def opened() -> AsyncIterator[Front]:
    redis = await create_pool(Worker.redis_settings)
    yield Front(redis)
    await redis.aclose()
