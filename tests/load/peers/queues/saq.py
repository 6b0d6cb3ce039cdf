"""SAQ: `enqueue`, and `Job.refresh(until_complete=…)`, which is told by Redis' publish and subscribe.

The worker: `saq tests.load.peers.queues.saq.settings`.
"""

# mypy: disable-error-code="import-not-found"
# The rivals may be missing where this is checked.

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from saq import Job, Queue, Status

from tests.load.peers.queues.contract import (
    AT_ONCE,
    HANDLER,
    KEEP_SECONDS,
    REDIS_URL,
    UnfinishedError,
    UnknownJobError,
)
from tests.load.peers.waits import steps

queue = Queue.from_url(REDIS_URL)


async def echo(context: dict[str, Any], *, input: dict[str, Any]) -> dict[str, Any]:
    return input


settings = {"queue": queue, "functions": [(HANDLER, echo)], "concurrency": AT_ONCE}


class Front:
    async def submit(self, id: str, handler: str, input: dict[str, Any]) -> None:
        await queue.enqueue(handler, key=id, ttl=KEEP_SECONDS, input=input)

    async def output(self, id: str, seconds: float) -> Any:
        job = await queue.job(id)
        if job is None:
            raise UnknownJobError(id)
        for step in steps(seconds):
            with suppress(TimeoutError):
                await job.refresh(until_complete=step)
                return _output(job)
        raise UnfinishedError(id)


def _output(job: Job) -> Any:
    if job.status != Status.COMPLETE:
        raise RuntimeError(f"a job ended as {job.status}")
    return job.result


@asynccontextmanager
async def opened() -> AsyncIterator[Front]:
    await queue.connect()
    yield Front()
    await queue.disconnect()
