"""Accepting jobs behind an API key and answering for them, as a team would write it: FastAPI, uvicorn, and a queue.

Run by `rivals`: `uvicorn tests.load.peers.fastapi_queue:app`. What it answers begins as our jobs do, so that one client
checks all. Reads LOAD_KEYS, LOAD_REDIS_URL and LOAD_QUEUE, the name of a module of `queues`.
"""

# mypy: disable-error-code="import-not-found"
# The rivals may be missing where this is checked.

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel

from tests.load.peers.keys import authenticate
from tests.load.peers.queues.contract import HANDLER, Opened, UnfinishedError, UnknownJobError
from tests.load.peers.waits import wait_seconds

HEX_DIGITS = 40
"""Of an id, so that it is as long as ours."""
PATIENCE_SECONDS = 1.0
"""For the job that tells whether a worker is there."""

opened: Opened = import_module(f"tests.load.peers.queues.{os.environ['LOAD_QUEUE']}").opened


class Order(BaseModel):
    handler: str
    input: dict[str, Any]


class Job(BaseModel):
    id: str
    status: str = "queued"
    output: Any = None


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with opened() as queue:
        app.state.queue = queue
        yield


async def submit(order: Order, authorization: Annotated[str, Header()]) -> Job:
    authenticate(authorization)
    return await _submitted(order.handler, order.input)


async def _submitted(handler: str, input: dict[str, Any]) -> Job:
    job = Job(id=f"job_{secrets.token_hex(HEX_DIGITS // 2)}")
    await app.state.queue.submit(job.id, handler, input)
    return job


async def job(id: str, authorization: Annotated[str, Header()], prefer: Annotated[str, Header()] = "") -> Job:
    """The job, as soon as it has ended or the client's wait is over."""
    authenticate(authorization)
    try:
        return Job(id=id, status="succeeded", output=await app.state.queue.output(id, wait_seconds(prefer)))
    except UnfinishedError:
        return Job(id=id)
    except UnknownJobError:
        raise HTTPException(404) from None


async def ready() -> dict[str, bool]:
    """Whether it serves."""
    return {"ready": True}


async def works() -> dict[str, bool]:
    """Whether a job comes back, so that a worker is there."""
    made = await _submitted(HANDLER, {})
    try:
        await app.state.queue.output(made.id, PATIENCE_SECONDS)
    except UnfinishedError:
        raise HTTPException(503) from None
    return {"works": True}


app = FastAPI(lifespan=lifespan)
app.add_api_route("/ready", ready)
app.add_api_route("/works", works)
app.add_api_route("/v1/jobs", submit, methods=["POST"], status_code=202)
app.add_api_route("/v1/jobs/{id}", job)
