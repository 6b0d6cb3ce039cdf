"""Celery: `send_task`, and `AsyncResult.get`, which is pushed to but blocks, so that both run in the front's threads.

The worker: `celery --app tests.load.peers.queues.celery worker --pool prefork --concurrency 2`.
"""

# mypy: disable-error-code="import-not-found"
# The rivals may be missing where this is checked.

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from celery import Celery
from celery.exceptions import TimeoutError as ResultTimeoutError
from celery.result import AsyncResult
from fastapi.concurrency import run_in_threadpool

from tests.load.peers.queues.contract import HANDLER, KEEP_SECONDS, REDIS_URL, UnfinishedError
from tests.load.peers.waits import steps

app = Celery("load", broker=REDIS_URL, backend=REDIS_URL)
app.conf.update(result_expires=KEEP_SECONDS, broker_connection_retry_on_startup=True)


def echo(input: dict[str, Any]) -> dict[str, Any]:
    return input


app.task(name=HANDLER)(echo)


class Front:
    async def submit(self, id: str, handler: str, input: dict[str, Any]) -> None:
        await run_in_threadpool(app.send_task, handler, (input,), task_id=id)

    async def output(self, id: str, seconds: float) -> Any:
        for step in steps(seconds):
            with suppress(ResultTimeoutError):
                return await run_in_threadpool(_get, id, step)
        raise UnfinishedError(id)


def _get(id: str, seconds: float) -> Any:
    """All in one thread: a result belongs to the connection of the thread that made it."""
    return AsyncResult(id, app=app).get(timeout=seconds)


@asynccontextmanager
async def opened() -> AsyncIterator[Front]:
    """It connects when it is used."""
    yield Front()
