"""taskiq with the list broker of taskiq-redis: `kiq`, and `wait_result`, which polls.

The worker: `taskiq worker --workers 1 tests.load.peers.queues.taskiq:broker`.
"""

# mypy: disable-error-code="import-not-found"
# The rivals may be missing where this is checked.

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from taskiq import TaskiqResultTimeoutError
from taskiq.kicker import AsyncKicker
from taskiq.task import AsyncTaskiqTask
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

from tests.load.peers.queues.contract import HANDLER, KEEP_SECONDS, LOOK_SECONDS, REDIS_URL, UnfinishedError

results = RedisAsyncResultBackend(REDIS_URL, result_ex_time=KEEP_SECONDS)
broker = ListQueueBroker(REDIS_URL).with_result_backend(results)


async def echo(input: dict[str, Any]) -> dict[str, Any]:
    return input


broker.register_task(echo, task_name=HANDLER)


class Front:
    async def submit(self, id: str, handler: str, input: dict[str, Any]) -> None:
        await AsyncKicker(handler, broker, labels={}).with_task_id(id).kiq(input)

    async def output(self, id: str, seconds: float) -> Any:
        try:
            result = await AsyncTaskiqTask(id, results).wait_result(check_interval=LOOK_SECONDS, timeout=seconds)
        except TaskiqResultTimeoutError:
            raise UnfinishedError(id) from None
        return result.raise_for_error().return_value


@asynccontextmanager
async def opened() -> AsyncIterator[Front]:
    await broker.startup()
    yield Front()
    await broker.shutdown()
