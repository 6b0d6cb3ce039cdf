"""Accepting a job behind an API key, as a team would write it: FastAPI, uvicorn, and arq or Celery on Redis.

Run by `rows.p2`: `uvicorn tests.load.peers.fastapi_queue:app`. Each is used as its documentation shows: arq from an
`async def`, Celery from a `def`, which FastAPI runs in its threads. What it answers begins as our jobs do, so that one
client checks all. Reads LOAD_REDIS_URL, LOAD_KEYS and LOAD_QUEUE (`arq` or `celery`).
"""

# mypy: disable-error-code="import-not-found"
# The rivals may be missing where this is checked.

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from arq import create_pool
from arq.connections import RedisSettings
from celery import Celery
from fastapi import FastAPI, Header
from pydantic import BaseModel

from tests.load.peers.keys import authenticate

REDIS_URL = os.environ["LOAD_REDIS_URL"]
HEX_DIGITS = 40
"""Of an id, so that it is as long as ours."""


class Order(BaseModel):
    handler: str
    input: dict[str, Any]


class Job(BaseModel):
    id: str
    status: str = "queued"


celery = Celery("load", broker=REDIS_URL)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.arq = await create_pool(RedisSettings.from_dsn(REDIS_URL))
    yield
    await app.state.arq.aclose()


async def submit_to_arq(order: Order, authorization: Annotated[str, Header()]) -> Job:
    authenticate(authorization)
    job = Job(id=f"job_{secrets.token_hex(HEX_DIGITS // 2)}")
    await app.state.arq.enqueue_job(order.handler, order.input, _job_id=job.id)
    return job


def submit_to_celery(order: Order, authorization: Annotated[str, Header()]) -> Job:
    authenticate(authorization)
    job = Job(id=f"job_{secrets.token_hex(HEX_DIGITS // 2)}")
    celery.send_task(order.handler, (order.input,), task_id=job.id)
    return job


async def ready() -> dict[str, bool]:
    """Whether Redis answers."""
    return {"ready": bool(await app.state.arq.ping())}


app = FastAPI(lifespan=lifespan)
app.add_api_route("/ready", ready)
submit = submit_to_arq if os.environ["LOAD_QUEUE"] == "arq" else submit_to_celery
app.add_api_route("/v1/jobs", submit, methods=["POST"], status_code=202)
