"""Bringing jobs into the states that tests need, and waiting until they are there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from deploy.local.system import System
from tests.acceptance.client import Answer, ApiClient

WORKERS = ("worker-1", "worker-2")


@asynccontextmanager
async def frozen(system: System, *names: str) -> AsyncIterator[None]:
    """The named processes stand still inside the block, their connections open."""
    for name in names:
        await system.processes[name].freeze()
    try:
        async with asyncio.timeout(5):
            while not all(_stands_still(system.processes[name].pid) for name in names):
                await asyncio.sleep(0.005)
        yield
    finally:
        for name in names:
            await system.processes[name].thaw()


def _stands_still(pid: int) -> bool:
    """Whether each of its threads has been stopped; the signal takes its time."""
    states = [path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) <= {"T"}


@asynccontextmanager
async def nobody_works(system: System) -> AsyncIterator[None]:
    """What is accepted in the block waits."""
    async with frozen(system, *WORKERS):
        yield


@asynccontextmanager
async def without_redis(api: ApiClient, system: System) -> AsyncIterator[None]:
    """Redis does not answer inside the block; after it, every process has it again."""
    async with frozen(system, "redis"):
        yield
    for port in system.admin_ports.values():
        url = f"http://127.0.0.1:{port}"
        await polled(
            lambda url=url: ApiClient(api.session, url, api.token).request("GET", "/readyz"),  # type: ignore[misc]
            lambda answer: answer.json["checks"].get("cache", "ok") == "ok",
        )


async def until_running(api: ApiClient, id: str) -> dict[str, Any]:
    return await until(api, id, lambda job: job["status"] == "running")


async def until(api: ApiClient, id: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The job's state as soon as it fits. Raises TimeoutError after half a minute."""
    answer = await api.get(id)
    async with asyncio.timeout(30):
        while not fits(answer.json):
            changed = await api.get(id, wait=5, etag=answer.headers["ETag"])
            answer = changed if changed.status == 200 else answer
            await asyncio.sleep(0.02)  # a terminal job is answered at once
    job: dict[str, Any] = answer.json
    return job


async def polled(ask: Callable[[], Awaitable[Answer]], fits: Callable[[Answer], bool]) -> Answer:
    """The first answer that fits. Raises TimeoutError after half a minute."""
    async with asyncio.timeout(30):
        while not fits(answer := await ask()):
            await asyncio.sleep(0.05)
    return answer


async def cancel(api: ApiClient, id: str) -> Answer:
    return await api.request("POST", f"/v1/jobs/{id}/cancel")


async def queued(api: ApiClient, handler: str = "debug.echo", input: Any = 1, **fields: Any) -> str:
    """A job that waits for a worker, while nobody works."""
    answer = await api.submit(handler, input, **fields)
    assert (answer.status, answer.json["status"]) == (202, "queued"), answer.body
    return str(answer.json["id"])
